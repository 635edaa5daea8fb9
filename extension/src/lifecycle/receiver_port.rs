//! Opens the port of the OTLP receiver, or another one if the default port is busy.
//!
//! A file tells the layer's wrapper of the runtime (`layer/lambda-otlp-handler`) a port that it does not know, and the wrapper
//! tells the SDK. Lambda starts the runtime after all extensions have registered.

use crate::config::PortTold;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// Opens `port`, or another one if it is busy and no SDK was told it. Afterwards the file exists only if the wrapper needs it: a
/// reset environment keeps its files.
pub(super) async fn open(port: u16, told: PortTold, file: &Path) -> io::Result<TcpListener> {
    let opened = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    drop(std::fs::remove_file(file));
    let listener = match opened {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && told == PortTold::Nobody => {
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?
        }
        opened => opened?,
    };
    let other = listener.local_addr()?.port();
    if other != port {
        tracing::info!(port, other, "the port is in use, receiving OTLP at another one");
    }
    if (other != port || told == PortTold::Extension)
        && let Err(error) = std::fs::write(file, format!("{other}\n"))
    {
        tracing::warn!(other, %error, "cannot tell the wrapper the port: set OTEL_EXPORTER_OTLP_ENDPOINT on the function");
    }
    Ok(listener)
}

/// Returns the path of the file. It contains `AWS_LAMBDA_RUNTIME_API`, because simulated environments share `/tmp`.
pub(super) fn file(runtime_api: &str) -> PathBuf {
    let safe = |character: char| {
        if character.is_ascii_alphanumeric() || character == '.' { character } else { '-' }
    };
    let name: String = runtime_api.chars().take(100).map(safe).collect();
    PathBuf::from(format!("/tmp/.lambda-otlp-receiver-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_busy_default_port_is_replaced_and_saved_to_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("port");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let moved = open(port, PortTold::Nobody, &file).await.unwrap().local_addr().unwrap().port();
        assert_ne!(moved, port);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{moved}\n"));

        assert!(open(port, PortTold::All, &file).await.is_err(), "an SDK was told this one");
        assert!(!file.exists());
        open(port, PortTold::Nobody, &file).await.unwrap();
        drop(taken);
        let opened = open(port, PortTold::Nobody, &file).await.unwrap();
        assert_eq!(opened.local_addr().unwrap().port(), port);
        assert!(!file.exists(), "what an environment before the reset left");
        drop(opened);
        open(port, PortTold::Extension, &file).await.unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{port}\n"));
    }

    #[test]
    fn the_port_file_has_the_path_expected_by_the_wrapper() {
        assert_eq!(file("127.0.0.1:9001"), Path::new("/tmp/.lambda-otlp-receiver-127.0.0.1-9001"));
    }
}
