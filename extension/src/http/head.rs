//! The head of a request, and what heads of requests and answers have in common.

/// Method, path and headers of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) method: String,
    /// Without its query.
    pub(crate) path: String,
    is_http_1_1: bool,
    headers: String,
}

impl Head {
    /// Reads a head, its last line feed left away; `None` where it is none of HTTP/1.x.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let head = std::str::from_utf8(head).ok()?;
        let (line, headers) = head.split_once("\r\n").unwrap_or((head, ""));
        let mut words = line.split(' ');
        let (method, target, version) = (words.next()?, words.next()?, words.next()?);
        let is_known = matches!(version, "HTTP/1.1" | "HTTP/1.0") && words.next().is_none();
        // Whitespace in a name, and lines that continue others, are how two readers come to see two requests (RFC 9112, 5.1).
        let are_headers = headers.is_empty()
            || headers.split("\r\n").all(|line| {
                line.split_once(':').is_some_and(|(name, _)| {
                    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic())
                })
            });
        if !is_known || method.is_empty() || !are_headers {
            return None;
        }
        // Through a proxy the target is a whole URL.
        let path = match target.split_once("://") {
            Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
            None => target,
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        Some(Self {
            method: method.to_owned(),
            path: path.to_owned(),
            is_http_1_1: version == "HTTP/1.1",
            headers: headers.to_owned(),
        })
    }

    /// The value of a header; of several the first.
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        header(&self.headers, name)
    }

    /// All values of a header.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        all(&self.headers, name)
    }

    /// Whether the client sends its body only when it is asked to.
    pub(crate) fn expects_continue(&self) -> bool {
        self.is_http_1_1
            && self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Whether the connection ends with this request.
    pub(crate) fn closes(&self) -> bool {
        let mut tokens = self.all("connection").flat_map(|value| value.split(','));
        !self.is_http_1_1 || tokens.any(|token| token.trim().eq_ignore_ascii_case("close"))
    }
}

/// The value of a header in these lines; of several the first.
pub(crate) fn header<'a>(headers: &'a str, name: &'a str) -> Option<&'a str> {
    all(headers, name).next()
}

fn all<'a>(headers: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.filter(move |(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Where `what` begins.
pub(crate) fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The size that a chunk says of itself; extensions are ignored.
pub(crate) fn chunk_size(line: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(line).ok()?;
    let size = line.split(';').next()?.trim();
    let is_hex = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_hexdigit());
    usize::from_str_radix(size, 16).ok().filter(|_| is_hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read() {
        let check = |head: &str, expected: Option<(&str, &str)>| {
            let read = Head::parse(head.as_bytes());
            let read = read.as_ref().map(|head| (head.method.as_str(), head.path.as_str()));
            assert_eq!(read, expected, "{head:?}");
        };
        check("POST /v1/traces HTTP/1.1", Some(("POST", "/v1/traces")));
        check("GET / HTTP/1.0\r\nHost: x", Some(("GET", "/")));
        check("POST /v1/logs?x=/y HTTP/1.1\r\nA:b\r\nC: ", Some(("POST", "/v1/logs")));
        check("POST http://localhost:4318/v1/logs HTTP/1.1", Some(("POST", "/v1/logs")));
        check("POST http://localhost:4318 HTTP/1.1", Some(("POST", "/")));
        check("PRI * HTTP/2.0", None);
        check("POST /v1/traces", None);
        check("POST  /v1/traces HTTP/1.1", None);
        check("POST /v1/traces HTTP/1.1 x", None);
        check("POST / HTTP/1.1\r\nno colon", None);
        check("POST / HTTP/1.1\r\nA: b\r\n continued: c", None);
        check("POST / HTTP/1.1\r\nContent-Length : 3", None);
        check("POST / HTTP/1.1\r\n: 3", None);
        check("", None);
    }

    #[test]
    fn a_connection_goes_on_unless_one_side_says_otherwise() {
        let check = |head: &str, expected| {
            assert_eq!(Head::parse(head.as_bytes()).unwrap().closes(), expected, "{head:?}");
        };
        check("GET / HTTP/1.1", false);
        check("GET / HTTP/1.1\r\nConnection: keep-alive", false);
        check("GET / HTTP/1.1\r\nconnection: TE, Close", true);
        check("GET / HTTP/1.0\r\nConnection: keep-alive", true);
    }

    #[test]
    fn chunk_sizes_are_hexadecimal() {
        let check =
            |line: &str, expected| assert_eq!(chunk_size(line.as_bytes()), expected, "{line:?}");
        check("1f", Some(31));
        check("0", Some(0));
        check(" A ;name=value", Some(10));
        check("+1", None);
        check("", None);
        check("g", None);
        check("fffffffffffffffff", None);
    }
}
