# The Homebrew formula of a release. The release workflow fills in version and checksums.
class LambdaOtlp < Formula
  desc "Observability for AWS Lambda: run functions locally, show telemetry, check deployments"
  homepage "https://github.com/lambda-otlp/lambda-otlp"
  version "VERSION"
  license any_of: ["MIT", "Apache-2.0"]

  files = "https://github.com/lambda-otlp/lambda-otlp/releases/download/v#{version}"

  on_macos do
    on_arm do
      url "#{files}/lambda-otlp-cli-macos-arm64.zip"
      sha256 "SHA256 of macos-arm64"
    end
    on_intel do
      url "#{files}/lambda-otlp-cli-macos-x86_64.zip"
      sha256 "SHA256 of macos-x86_64"
    end
  end

  on_linux do
    on_arm do
      url "#{files}/lambda-otlp-cli-linux-arm64.zip"
      sha256 "SHA256 of linux-arm64"
    end
    on_intel do
      url "#{files}/lambda-otlp-cli-linux-x86_64.zip"
      sha256 "SHA256 of linux-x86_64"
    end
  end

  def install
    # On Linux, `dev` finds the layer beside the program.
    libexec.install Dir["*"]
    bin.install_symlink libexec/"lambda-otlp"
    generate_completions_from_executable(bin/"lambda-otlp", "completions")
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/lambda-otlp --version")
  end
end
