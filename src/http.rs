//! Answers HTTP requests for a few short documents, on one thread and in bounded memory, however its clients behave.
//!
//! Owns sockets, deadlines and the HTTP that scrapers speak: GET and HEAD, one request a connection. Does not own
//! the documents. Not for the open Internet: there is neither TLS nor a password, as with other exporters.
//!
//! A client that sends or reads slowly costs one of [`MAX_CONNECTIONS`] places until its deadline; of more clients the one
//! that has been connected for the longest gives its place up. So a scraper, which takes milliseconds, always gets one.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Most clients at a time. Prometheus uses one connection for a scrape; a pair of servers and a person use three.
const MAX_CONNECTIONS: usize = 32;

/// Most bytes of a request's head: what nginx, Apache and Node.js take, too.
const MAX_HEAD: usize = 8 * 1024;

/// Most header fields of a request; Prometheus sends six.
const MAX_FIELDS: usize = 64;

/// Longest time that a connection is kept, from its first byte to its last: the scrape time-out of Prometheus is 10 s by
/// default.
const DEADLINE: Duration = Duration::from_secs(10);

/// Longest wait for the client's end of a connection once the answer is sent.
const CLOSING: Duration = Duration::from_secs(1);

/// Rest after the system refuses a connection for want of descriptors or memory.
const REST: Duration = Duration::from_millis(100);

/// A bound socket, at which clients may queue before [`HttpListener::serve`] answers them.
pub(crate) struct HttpListener {
    socket: TcpListener,
}

/// The part of a request that a document depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpRequest {
    /// The path, without the query.
    pub(crate) path: String,
    /// The media types that the client takes; empty if it does not say.
    pub(crate) accept: String,
}

/// The answer to a request. The text is shared: clients that read slowly hold the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: HttpStatus,
    pub(crate) content_type: &'static str,
    pub(crate) body: Arc<str>,
}

/// The statuses that are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HttpStatus {
    Ok,
    BadRequest,
    NotFound,
    MethodNotAllowed,
    HeadTooLarge,
    Unavailable,
}

impl HttpStatus {
    const fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::Unavailable => "503 Service Unavailable",
        }
    }
}

impl Response {
    /// A line of text.
    pub(crate) fn line(status: HttpStatus, text: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{text}\n").into() }
    }
}

impl HttpListener {
    /// Binds `address`; clients may connect from now on.
    ///
    /// # Errors
    ///
    /// The address is in use, is not this machine's, or may not be used.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// The address, with the port that the system chose where it was 0.
    ///
    /// # Errors
    ///
    /// The system's.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers clients on a thread of its own until the program ends.
    ///
    /// # Errors
    ///
    /// The thread cannot be started.
    pub(crate) fn serve(
        self,
        answer: impl FnMut(&HttpRequest) -> Response + Send + 'static,
    ) -> io::Result<()> {
        let name = "http".to_owned();
        thread::Builder::new().name(name).spawn(move || Server::new(self.socket, answer).run())?;
        Ok(())
    }
}

/// The listening socket with its clients.
struct Server<F> {
    socket: TcpListener,
    answer: F,
    /// In order of their beginnings.
    clients: VecDeque<HttpClient>,
}

impl<F: FnMut(&HttpRequest) -> Response> Server<F> {
    fn new(socket: TcpListener, answer: F) -> Self {
        Self { socket, answer, clients: VecDeque::new() }
    }

    fn run(mut self) {
        loop {
            let ready = self.wait();
            let now = Instant::now();
            // Only connections from before this round, which `ready` is about: new ones come after them.
            let mut ready = ready.into_iter();
            let may_accept = ready.next().unwrap_or(false);
            let answer = &mut self.answer;
            self.clients.retain_mut(|client| {
                let is_ready = ready.next().unwrap_or(false);
                now < client.deadline && (!is_ready || client.proceed(answer, now))
            });
            if may_accept {
                self.accept(now);
            }
        }
    }

    /// Waits until a socket is ready, or a deadline is over. Tells for the listening socket, then for each client, whether
    /// it is ready.
    fn wait(&self) -> Vec<bool> {
        let listening = PollFd::new(self.socket.as_fd(), PollFlags::POLLIN);
        let clients = self.clients.iter().map(|client| PollFd::new(client.stream.as_fd(), client.awaited()));
        let mut sockets: Vec<PollFd<'_>> = std::iter::once(listening).chain(clients).collect();
        let deadline = self.clients.iter().map(|client| client.deadline).min();
        let timeout = deadline.map_or(PollTimeout::NONE, |deadline| {
            let left = deadline.saturating_duration_since(Instant::now()).as_millis().saturating_add(1);
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        match poll(&mut sockets, timeout) {
            Ok(_) => sockets.iter().map(|socket| socket.any().unwrap_or(true)).collect(),
            // A signal.
            Err(_) => vec![false; sockets.len()],
        }
    }

    fn accept(&mut self, now: Instant) {
        for _ in 0..MAX_CONNECTIONS {
            match self.socket.accept() {
                Ok((stream, _)) => {
                    if stream.set_nonblocking(true).is_err() {
                        continue;
                    }
                    if self.clients.len() == MAX_CONNECTIONS {
                        self.clients.pop_front();
                    }
                    self.clients.push_back(HttpClient::new(stream, now));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(_) => return thread::sleep(REST),
            }
        }
    }
}

/// One connection.
struct HttpClient {
    stream: TcpStream,
    deadline: Instant,
    stage: HttpStage,
}

/// State of a connection.
enum HttpStage {
    /// The head of the request, as far as it has come.
    Reading(Vec<u8>),
    /// The head of the answer, the answer, and how many bytes of both were sent.
    Writing { head: String, body: Arc<str>, sent: usize },
    /// All is sent; what the client still sends is dropped. Closed at once, it would lose the answer.
    Closing,
}

impl HttpClient {
    fn new(stream: TcpStream, now: Instant) -> Self {
        Self { stream, deadline: now + DEADLINE, stage: HttpStage::Reading(Vec::new()) }
    }

    fn awaited(&self) -> PollFlags {
        match self.stage {
            HttpStage::Reading(_) | HttpStage::Closing => PollFlags::POLLIN,
            HttpStage::Writing { .. } => PollFlags::POLLOUT,
        }
    }

    /// Goes on as far as it can without waiting. False if the connection is over.
    fn proceed(&mut self, answer: &mut impl FnMut(&HttpRequest) -> Response, now: Instant) -> bool {
        match self.try_to_proceed(answer, now) {
            Ok(goes_on) => goes_on,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    fn try_to_proceed(
        &mut self,
        answer: &mut impl FnMut(&HttpRequest) -> Response,
        now: Instant,
    ) -> io::Result<bool> {
        let mut block = [0; 2048];
        if let HttpStage::Reading(head) = &mut self.stage {
            let read = self.stream.read(&mut block)?;
            if read == 0 {
                return Ok(false);
            }
            head.extend_from_slice(&block[..read]);
            let Some(response) = respond(head, answer) else { return Ok(true) };
            self.stage = response;
        }
        if let HttpStage::Writing { head, body, sent } = &mut self.stage {
            while let Some(rest) = unsent(head, body, *sent) {
                *sent += self.stream.write(rest)?;
            }
            self.stream.shutdown(Shutdown::Write)?;
            self.deadline = self.deadline.min(now + CLOSING);
            self.stage = HttpStage::Closing;
        }
        Ok(self.stream.read(&mut block)? > 0)
    }
}

/// Rest of a head and a body that is not sent yet.
fn unsent<'a>(head: &'a str, body: &'a str, sent: usize) -> Option<&'a [u8]> {
    let rest = match sent.checked_sub(head.len()) {
        None => &head.as_bytes()[sent..],
        Some(of_body) => body.as_bytes().get(of_body..)?,
    };
    (!rest.is_empty()).then_some(rest)
}

/// The stage after a head that is complete, or wrong; `None` as long as more of it may come.
fn respond(bytes: &[u8], answer: &mut impl FnMut(&HttpRequest) -> Response) -> Option<HttpStage> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Request::new(&mut fields);
    let too_large =
        || (Response::line(HttpStatus::HeadTooLarge, "the head of the request is too large"), true);
    let (response, with_body) = match head.parse(bytes) {
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_HEAD => return None,
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => too_large(),
        // However it has arrived.
        Ok(httparse::Status::Complete(length)) if length > MAX_HEAD => too_large(),
        Err(_) => (Response::line(HttpStatus::BadRequest, "this is no HTTP request"), true),
        Ok(httparse::Status::Complete(_)) => match head.method {
            Some("GET") => (answer(&request(&head)), true),
            Some("HEAD") => (answer(&request(&head)), false),
            _ => (Response::line(HttpStatus::MethodNotAllowed, "GET and HEAD are answered"), true),
        },
    };
    let allow = if response.status == HttpStatus::MethodNotAllowed { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        response.status.line(),
        response.content_type,
        response.body.len()
    );
    let body = if with_body { response.body } else { "".into() };
    Some(HttpStage::Writing { head, body, sent: 0 })
}

/// The head and the body that a client gets that sent these bytes; `None` as long as more of a head may come.
#[cfg(feature = "fuzzing")]
pub(crate) fn answer(bytes: &[u8], answer: &mut impl FnMut(&HttpRequest) -> Response) -> Option<String> {
    match respond(bytes, answer)? {
        HttpStage::Writing { head, body, .. } => Some(format!("{head}{body}")),
        HttpStage::Reading(_) | HttpStage::Closing => None,
    }
}

fn request(head: &httparse::Request<'_, '_>) -> HttpRequest {
    let target = head.path.unwrap_or_default();
    let accepted = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("accept"));
    let accept: Vec<_> = accepted.map(|field| String::from_utf8_lossy(field.value)).collect();
    HttpRequest {
        path: target.split(['?', '#']).next().unwrap_or_default().to_owned(),
        accept: accept.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server whose documents are their paths, and one large one.
    fn serve() -> SocketAddr {
        let listener = HttpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.address().unwrap();
        let large: Arc<str> = "large ".repeat(4 << 20).into();
        let answer = move |request: &HttpRequest| match request.path.as_str() {
            "/large" => Response { status: HttpStatus::Ok, content_type: "text/plain", body: large.clone() },
            path => Response::line(HttpStatus::Ok, &format!("{path} {}", request.accept)),
        };
        listener.serve(answer).unwrap();
        address
    }

    fn connect(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = connect(address);
        // A request may be answered before it is whole.
        let _ = stream.write_all(request.as_bytes());
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn requests_are_answered_by_path_and_what_is_none_is_refused() {
        let address = serve();
        let found = ask(address, "GET /metrics?x=1 HTTP/1.1\r\nHost: h\r\nAccept: a/b\r\n\r\n");
        assert!(
            found.starts_with("HTTP/1.1 200 OK\r\n") && found.ends_with("\r\n\r\n/metrics a/b\n"),
            "{found}"
        );
        let head = ask(address, "HEAD /metrics HTTP/1.0\r\n\r\n");
        assert!(head.contains("Content-Length: 10\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(ask(address, "POST /metrics HTTP/1.1\r\n\r\n").contains("405 Method Not Allowed\r\n"));
        assert!(ask(address, "\x16\x03\x01\x02 TLS\r\n\r\n").contains("400 Bad Request"));
        let many = "X: y\r\n".repeat(MAX_FIELDS + 1);
        assert!(ask(address, &format!("GET / HTTP/1.1\r\n{many}\r\n")).contains(" 431 "));
        let long = "x".repeat(MAX_HEAD);
        for rest in ["\r\nY: ", "\r\n\r\n"] {
            assert!(ask(address, &format!("GET / HTTP/1.1\r\nX: {long}{rest}")).contains(" 431 "));
        }
    }

    #[test]
    fn clients_that_are_slow_or_many_keep_nobody_from_an_answer() {
        let address = serve();
        let unfinished: Vec<TcpStream> = (0..100)
            .map(|_| {
                let mut stream = connect(address);
                stream.write_all(b"GET / HTTP/1.1\r\nX: ").unwrap();
                stream
            })
            .collect();
        // Such clients never read the answer.
        let deaf: Vec<TcpStream> = (0..100)
            .map(|_| {
                let mut stream = connect(address);
                stream.write_all(b"GET /large HTTP/1.1\r\n\r\n").unwrap();
                stream
            })
            .collect();
        let begun = Instant::now();
        let answer = ask(address, "GET /healthz HTTP/1.1\r\n\r\n");
        assert!(answer.contains("/healthz"), "{answer}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(ask(address, "GET /large HTTP/1.1\r\n\r\n").matches("large ").count(), 4 << 20);
        // A client that stays silent is disconnected at its deadline.
        let mut silent = connect(address);
        let begun = Instant::now();
        assert_eq!(silent.read_to_end(&mut Vec::new()).unwrap(), 0);
        assert!(begun.elapsed() < DEADLINE + Duration::from_secs(5), "{:?}", begun.elapsed());
        drop((unfinished, deaf));
    }
}
