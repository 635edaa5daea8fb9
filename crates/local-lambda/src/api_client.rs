//! A blocking HTTP/1.1 client for the functions that tests run, as simple as Lambda's APIs permit.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// One connection to a server whose responses have a length, as those of Lambda's APIs.
#[derive(Debug)]
pub struct ApiClient {
    host: String,
    stream: BufReader<TcpStream>,
}

#[derive(Debug)]
pub struct ApiResponse {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl ApiResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl ApiClient {
    /// Connects to the host and port that `AWS_LAMBDA_RUNTIME_API` names.
    ///
    /// # Errors If the connection is refused.
    pub fn connect(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self { host: host.to_owned(), stream: BufReader::new(stream) })
    }

    /// Makes a request and waits for its response.
    ///
    /// # Errors If the connection breaks off or the response is malformed.
    pub fn call(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<ApiResponse> {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n",
            self.host,
            body.len()
        );
        for (name, value) in headers {
            write!(request, "{name}: {value}\r\n").map_err(io::Error::other)?;
        }
        request += "\r\n";
        self.stream.get_mut().write_all(&[request.as_bytes(), body].concat())?;
        self.response()
    }

    fn response(&mut self) -> io::Result<ApiResponse> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| io::Error::other(format!("no status in {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                None => break,
            }
        }
        let mut response = ApiResponse { status, headers, body: Vec::new() };
        let length =
            response.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        response.body.resize(length, 0);
        self.stream.read_exact(&mut response.body)?;
        Ok(response)
    }
}
