//! Opens the port where OTLP is received; where nobody named one and the usual one is taken, another.
//!
//! The layer's wrapper of the runtime (`layer/lambda-otlp-handler`) finds the other port in a file and tells the SDK: Lambda starts
//! the runtime when all extensions have registered.

use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use tokio::net::TcpListener;

/// Opens `port`, or any other where this one is taken and `may_move` says that no SDK was told it. The file is there when the port
/// is another, and only then: an environment that is reset keeps its files.
pub(super) async fn open(port: u16, may_move: bool, file: &Path) -> io::Result<TcpListener> {
    let opened = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    drop(std::fs::remove_file(file));
    match opened {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && may_move => {
            let moved = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
            let other = moved.local_addr()?.port();
            if let Err(error) = std::fs::write(file, format!("{other}\n")) {
                tracing::warn!(other, %error, "cannot tell the wrapper of the port, SDKs have to be told it");
            }
            tracing::info!(
                port,
                other,
                "the port is another extension's, receiving OTLP at another"
            );
            Ok(moved)
        }
        opened => opened,
    }
}

/// The file, by `AWS_LAMBDA_RUNTIME_API`: one environment has one `/tmp` and one such address, and a simulator that runs many on
/// one machine has many of these.
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
    async fn a_port_that_nobody_named_is_replaced_where_it_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("port");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let moved = open(port, true, &file).await.unwrap().local_addr().unwrap().port();
        assert_ne!(moved, port);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{moved}\n"));

        assert!(open(port, false, &file).await.is_err(), "an SDK was told this one");
        assert!(!file.exists());
        open(port, true, &file).await.unwrap();
        drop(taken);
        let opened = open(port, true, &file).await.unwrap();
        assert_eq!(opened.local_addr().unwrap().port(), port);
        assert!(!file.exists(), "what an environment before the reset left");
    }

    #[test]
    fn the_file_is_where_the_wrapper_looks() {
        assert_eq!(file("127.0.0.1:9001"), Path::new("/tmp/.lambda-otlp-receiver-127.0.0.1-9001"));
    }
}
