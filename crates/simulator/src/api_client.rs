//! The programs' side of Lambda's APIs: a client for functions and extensions that tests make themselves.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

/// As much of an HTTP/1.1 client as Lambda's APIs ask for: one connection, responses with a length.
#[derive(Debug)]
pub struct ApiClient {
    host: String,
    stream: BufReader<TcpStream>,
}

/// What an API responded.
#[derive(Debug)]
pub struct ApiResponse {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl ApiResponse {
    /// The value of the header whose name is this one in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

impl ApiClient {
    /// Connects to the host and port that `AWS_LAMBDA_RUNTIME_API` names.
    ///
    /// # Errors
    /// When nobody listens there.
    pub fn connect(host: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self { host: host.to_owned(), stream: BufReader::new(stream) })
    }

    /// Makes a request and waits for its response.
    ///
    /// # Errors
    /// When the connection breaks off, or what comes is no response.
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

    /// Posts a streamed response in these chunks, with an error of this type in its trailers.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub fn stream(&mut self, path: &str, chunks: &[String], error: Option<&str>) -> io::Result<()> {
        let mut request = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\
             Lambda-Runtime-Function-Response-Mode: streaming\r\n\
             Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n",
            self.host
        );
        for chunk in chunks {
            write!(request, "{:x}\r\n{chunk}\r\n", chunk.len()).map_err(io::Error::other)?;
        }
        request += "0\r\n";
        if let Some(error) = error {
            // The body is `{}` in base64.
            request += &["Lambda-Runtime-Function-Error-Type: ", error, "\r\n"].concat();
            request += "Lambda-Runtime-Function-Error-Body: e30=\r\n";
        }
        request += "\r\n";
        self.stream.get_mut().write_all(request.as_bytes())?;
        self.response().map(drop)
    }

    fn response(&mut self) -> io::Result<ApiResponse> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {line:?}")))?;
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
