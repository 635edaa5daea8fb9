//! Invocations over HTTP.

use crate::puppets::{FUNCTION, function};
use lambda_otlp_local_lambda::Lambda;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};

const MAX_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// Posts an invocation with these headers and this body, and returns the line with the status of the answer.
async fn status_line(endpoint: SocketAddr, header: &str, body: Vec<u8>) -> String {
    let path = format!("/2015-03-31/functions/{FUNCTION}/invocations");
    let head = format!("POST {path} HTTP/1.1\r\nHost: {endpoint}\r\n{header}\r\n\r\n");
    let exchange = move || {
        let mut stream = TcpStream::connect(endpoint).unwrap();
        stream.write_all(&[head.as_bytes(), &body].concat()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_or_is_too_large_invokes_nothing() {
    let lambda = Lambda::start().await.unwrap();
    lambda.create_function(function("exit 1")).unwrap();
    let endpoint = lambda.endpoint();
    let broken_off =
        status_line(endpoint, "Transfer-Encoding: chunked", b"2\r\n{}\r\nx\r\n".to_vec());
    assert_eq!(broken_off.await, "HTTP/1.1 400 Bad Request");
    let large = vec![b' '; MAX_PAYLOAD_BYTES + 1];
    let header = format!("Content-Length: {}", large.len());
    let too_large = status_line(endpoint, &header, large);
    assert_eq!(too_large.await, "HTTP/1.1 413 Payload Too Large");
    assert!(lambda.invocations(FUNCTION).is_empty());
}
