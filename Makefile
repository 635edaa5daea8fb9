# What `sam build` calls for each function of template.yaml, which both are the forwarder's binary, and for each layer.
# ARCHITECTURE must be that of the stack's parameter; PROFILE is a profile of Cargo.toml.

ARCHITECTURE ?= arm64
PROFILE ?= release
LAYER_PROFILE ?= release-small
cargo_lambda_arm64 = --arm64
cargo_lambda_x86_64 = --x86-64

.PHONY: build-ForwarderFunction build-RedriveFunction
build-ForwarderFunction build-RedriveFunction:
	cargo lambda build --locked --profile $(PROFILE) $(cargo_lambda_$(ARCHITECTURE)) \
		--package lambda-otlp-forwarder --bin lambda-otlp-forwarder \
		--lambda-dir "$(ARTIFACTS_DIR)" --flatten lambda-otlp-forwarder
	if [ -d package ]; then cp -R package/. "$(ARTIFACTS_DIR)"; fi

# Static, by Rust's own linker (`.cargo/config.toml`): it starts below every runtime, and needs no zig.
.PHONY: build-LayerArm64 build-LayerX8664
build-LayerArm64: layer_target = aarch64-unknown-linux-musl
build-LayerX8664: layer_target = x86_64-unknown-linux-musl
build-LayerArm64 build-LayerX8664:
	rustup target add $(layer_target)
	cargo build --locked --profile $(LAYER_PROFILE) --target $(layer_target) \
		--package lambda-otlp-extension --target-dir $${CARGO_TARGET_DIR:-target}
	mkdir -p "$(ARTIFACTS_DIR)/extensions" "$(ARTIFACTS_DIR)/lambda-otlp/node" "$(ARTIFACTS_DIR)/lambda-otlp/python"
	cp $${CARGO_TARGET_DIR:-target}/$(layer_target)/$(subst dev,debug,$(LAYER_PROFILE))/lambda-otlp-extension "$(ARTIFACTS_DIR)/extensions"
	cp extension/layer/lambda-otlp-handler "$(ARTIFACTS_DIR)"
	cp extension/layer/node/*.cjs "$(ARTIFACTS_DIR)/lambda-otlp/node"
	cp extension/layer/python/*.py "$(ARTIFACTS_DIR)/lambda-otlp/python"
	cp LICENSE-APACHE LICENSE-MIT "$(ARTIFACTS_DIR)/lambda-otlp"
