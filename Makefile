# What `sam build` calls for each function of template.yaml: both are the forwarder's binary.
# ARCHITECTURE must be that of the stack's parameter; PROFILE is a profile of Cargo.toml.

ARCHITECTURE ?= arm64
PROFILE ?= release
cargo_lambda_arm64 = --arm64
cargo_lambda_x86_64 = --x86-64

.PHONY: build-ForwarderFunction build-RedriveFunction
build-ForwarderFunction build-RedriveFunction:
	cargo lambda build --locked --profile $(PROFILE) $(cargo_lambda_$(ARCHITECTURE)) \
		--package lambda-otlp-forwarder --bin lambda-otlp-forwarder \
		--lambda-dir "$(ARTIFACTS_DIR)" --flatten lambda-otlp-forwarder
	if [ -d package ]; then cp -R package/. "$(ARTIFACTS_DIR)"; fi
