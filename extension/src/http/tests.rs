use super::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Echoes requests with bodies of at most 20 bytes, except for `/refuse`.
struct Echo;

impl Respond for Echo {
    fn respond<'c>(&'c self, request: ReceivedRequest<'c>) -> BoxedAnswer<'c> {
        Box::pin(async move {
            let ReceivedRequest { head, body } = request;
            let said = match head.uri.path() {
                "/refuse" => "unread".to_owned(),
                "/panic" => panic!("on purpose"),
                _ => match body.read(20).await {
                    Ok(body) => String::from_utf8(body).unwrap(),
                    Err(unread) => format!("{unread:?}"),
                },
            };
            Answer::new(
                StatusCode::OK,
                "text/plain",
                [head.method.as_str(), " ", head.uri.path(), " ", &said].concat(),
            )
        })
    }

    fn after_panic(&self) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

async fn server() -> std::net::SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    listen(socket, Arc::new(Echo));
    address
}

/// Sends a text in pieces, closes the sending side, and returns the answers.
async fn exchange(address: std::net::SocketAddr, sent: &str, piece_bytes: usize) -> String {
    String::from_utf8(exchange_bytes(address, sent.as_bytes(), piece_bytes).await).unwrap()
}

async fn exchange_bytes(address: std::net::SocketAddr, sent: &[u8], piece_bytes: usize) -> Vec<u8> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let write = async {
        for piece in sent.chunks(piece_bytes) {
            // A server that has had enough closes the connection.
            if writing.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        writing.shutdown().await.ok();
    };
    let mut received = Vec::new();
    let read = async {
        reading.read_to_end(&mut received).await.ok();
    };
    tokio::join!(write, read);
    received
}

/// Returns statuses and bodies of consecutive answers.
fn answers(received: &str) -> String {
    let answers = received.split("HTTP/1.").filter(|answer| !answer.is_empty());
    let one = |answer: &str| {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let closes = if head.contains("Connection: close") { ", closed" } else { "" };
        format!("{}{closes}: {body}", head.split(' ').nth(1).unwrap())
    };
    answers.map(one).collect::<Vec<_>>().join(" | ")
}

#[tokio::test]
async fn a_refused_body_is_drained_before_the_next_request() {
    let address = server().await;
    let check = async |sent: &str, expected: &str| {
        let received = exchange(address, sent, 10).await;
        assert_eq!(answers(&received), expected, "{sent:?}");
    };
    check(
        "POST /refuse HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n\r\n",
        "200: POST /refuse unread | 200: GET /b ",
    )
    .await;
    let large = "x".repeat(30);
    check(
        &format!("POST /a HTTP/1.1\r\nContent-Length: 30\r\n\r\n{large}GET /b HTTP/1.1\r\n\r\n"),
        "200: POST /a TooLarge | 200: GET /b ",
    )
    .await;
    check(
        &format!("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1e\r\n{large}\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n"),
        "200: POST /a TooLarge | 200: GET /b ",
    )
    .await;
}

#[tokio::test]
async fn a_panic_fails_one_request_and_the_connection_stays_open() {
    let address = server().await;
    let sent = "POST /panic HTTP/1.1\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n\r\n";
    assert_eq!(answers(&exchange(address, sent, 1000).await), "500:  | 200: GET /b ");
    assert_eq!(answers(&exchange(address, "GET /c HTTP/1.1\r\n\r\n", 1000).await), "200: GET /c ");
}

#[tokio::test]
async fn continue_is_sent_only_if_the_body_is_read() {
    let address = server().await;
    let head = "HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    let received = exchange(address, &format!("POST /a {head}hello"), 1000).await;
    assert_eq!(answers(&received), "100:  | 200: POST /a hello");
    let received = exchange(address, &format!("POST /refuse {head}"), 1000).await;
    assert_eq!(answers(&received), "200, closed: POST /refuse unread");
}

#[tokio::test]
async fn an_invalid_request_closes_only_its_own_connection() {
    let address = server().await;
    let check = async |sent: &str, expected: &str| {
        let received = exchange(address, sent, 1000).await;
        assert_eq!(answers(&received), expected, "{sent:?}");
    };
    let (not_http, too_large) = ("400, closed: ", "431, closed: ");
    check("nonsense\r\n\r\n", not_http).await;
    check("POST / HTTP/1.1\r\nno colon\r\n\r\n", not_http).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nno more of it\r\n\r\n";
    let received = exchange_bytes(address, preface, 1000).await;
    assert!(!received.starts_with(b"HTTP/1."), "{}", received.escape_ascii());
    check(&format!("GET /{} HTTP/1.1", "x".repeat(40_000)), too_large).await;
    check(&format!("GET / HTTP/1.1\r\nA: {}", "x".repeat(40_000)), too_large).await;
    check(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(101)), too_large).await;
    check("POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nhel", "").await;
    check("GET /a", "").await;
    check("GET /a HTTP/1.1\r\n\r\n", "200: GET /a ").await;
}

#[tokio::test]
async fn connections_with_an_active_request_are_never_evicted() {
    let address = server().await;
    let mut busy = Vec::new();
    let begun = b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n1";
    for _ in 0..256 {
        let mut connection = TcpStream::connect(address).await.unwrap();
        connection.write_all(begun).await.unwrap();
        busy.push(connection);
    }
    // Until the server has read all of them it may still find an idle one.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(exchange(address, "GET /a HTTP/1.1\r\n\r\n", 100).await, "");
    for mut connection in busy {
        connection.write_all(b"2").await.unwrap();
        let mut received = [0; 200];
        assert!(connection.read(&mut received).await.unwrap() > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_body_closes_the_connection_without_a_response() {
    let address = server().await;
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"POST /a HTTP/1.1\r\nContent-Length: 9\r\n\r\n1").await.unwrap();
    let mut received = Vec::new();
    // It ends without an answer: who sent half a request knows that it did.
    let ended = connection.read_to_end(&mut received);
    let ended = tokio::time::timeout(Duration::from_mins(1), ended).await;
    assert!(ended.is_ok(), "it is not waited for");
    assert_eq!(received, b"");
}
