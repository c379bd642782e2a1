//! A connection that sends a request and waits for its answer. It is kept alive, and opened again after the server has closed it.

use std::{io, time::Duration};

use hyper::HeaderMap;

use super::{
    answer::Answer,
    exchange::{Exchange, Lost},
    no_answer::NoAnswer,
    request::Request,
    target::{Stream, Target},
};

/// One request at a time.
pub struct Connection<'a> {
    target: &'a Target,
    timeout: Duration,
    open: Option<Exchange<Stream>>,
    /// True if the open connection has given an answer. The server may have closed it since, without having seen the next request.
    is_used: bool,
    /// Memory for the headers of request and answer, used again for each request.
    headers: HeaderMap,
}

impl<'a> Connection<'a> {
    /// The connection is opened with the first request. `timeout` limits each request, including the time to connect.
    #[must_use]
    pub fn new(target: &'a Target, timeout: Duration) -> Self {
        Self {
            target,
            timeout,
            open: None,
            is_used: false,
            headers: HeaderMap::new(),
        }
    }

    /// Connects now, so that no request has to wait for it.
    pub async fn connect(&mut self) -> io::Result<()> {
        if self.open.is_none() {
            let opened = tokio::time::timeout(self.timeout, open(self.target)).await;
            self.open = Some(opened.map_err(|_| io::ErrorKind::TimedOut)??);
            self.is_used = false;
        }
        Ok(())
    }

    /// Sends a request and waits for its answer.
    ///
    /// A request is sent again, once and over a new connection, only if the server closed a connection that had given an answer
    /// before, and no byte of the new answer came. The server then ended an idle connection, and no answer got lost.
    pub async fn ask(&mut self, request: &Request) -> Result<Answer, NoAnswer> {
        let asked = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        let answer = asked.unwrap_or(Err(NoAnswer::Timeout));
        self.is_used = answer.is_ok();
        if answer.is_err() || !self.open.as_ref().is_some_and(Exchange::is_kept) {
            self.open = None;
        }
        answer
    }

    async fn exchange(&mut self, request: &Request) -> Result<Answer, NoAnswer> {
        loop {
            let exchange = match &mut self.open {
                Some(exchange) => exchange,
                none => {
                    self.is_used = false;
                    let opened = open(self.target).await;
                    none.insert(opened.map_err(|_| NoAnswer::NotConnected)?)
                }
            };
            let headers = std::mem::take(&mut self.headers);
            let request = request.to_http(self.target.authority(), headers);
            match exchange.ask(request).await {
                Ok((answer, headers)) => {
                    self.headers = headers;
                    return Ok(answer);
                }
                Err(Lost::Silently) if self.is_used => self.open = None,
                Err(Lost::Silently) => return Err(NoAnswer::Closed),
                Err(Lost::For(cause)) => return Err(cause),
            }
        }
    }
}

async fn open(target: &Target) -> io::Result<Exchange<Stream>> {
    Exchange::new(target.connect().await?).await
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    const SOON: Duration = Duration::from_millis(200);

    /// Asks twice a server that answers the requests of its connections, one list a connection, and then closes them.
    async fn ask_twice(connections: &[&[&[u8]]]) -> (Vec<Result<u16, NoAnswer>>, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let seen = AtomicUsize::new(0);
        let serve = async {
            for answers in connections {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                for answer in *answers {
                    if stream.read(&mut request).await.unwrap() == 0 {
                        break;
                    }
                    seen.fetch_add(1, Ordering::Relaxed);
                    stream.write_all(answer).await.unwrap();
                }
            }
            std::future::pending::<()>().await;
        };
        let ask = async {
            let mut connection = Connection::new(&target, SOON);
            let request = target.get("/").unwrap();
            let mut told = Vec::new();
            for _ in 0..2 {
                told.push(connection.ask(&request).await.map(|answer| answer.status));
                tokio::time::sleep(SOON / 4).await;
            }
            told
        };
        let told = tokio::select! {
            () = serve => unreachable!("it serves for ever"),
            told = ask => told,
        };
        (told, seen.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_connection_is_kept() {
        assert_eq!(ask_twice(&[&[OK, OK]]).await, (vec![Ok(200), Ok(200)], 2));
    }

    #[tokio::test]
    async fn after_a_keep_alive_that_ended_the_request_is_sent_again() {
        let told = ask_twice(&[&[OK], &[OK]]).await;
        assert_eq!(told, (vec![Ok(200), Ok(200)], 2));
        let said = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        let told = ask_twice(&[&[said], &[OK]]).await;
        assert_eq!(told, (vec![Ok(200), Ok(200)], 2));
    }

    #[tokio::test]
    async fn a_request_is_not_sent_again_when_it_may_have_been_seen() {
        let half: &[u8] = b"HTTP/1.1 200 OK\r\n";
        let told = ask_twice(&[&[half], &[OK]]).await;
        assert_eq!(told, (vec![Err(NoAnswer::Closed), Ok(200)], 2));
        let told = ask_twice(&[&[], &[OK]]).await;
        assert_eq!(
            told,
            (vec![Err(NoAnswer::Closed), Ok(200)], 1),
            "a new connection that is closed at once"
        );
    }

    #[tokio::test]
    async fn silence_ends_with_the_timeout() {
        let (told, _) = ask_twice(&[&[b"", b""], &[b"", b""]]).await;
        assert_eq!(told, [Err(NoAnswer::Timeout), Err(NoAnswer::Timeout)]);
    }

    #[tokio::test]
    async fn nobody_there_is_no_answer() {
        let port = {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let target = Target::new(&format!("http://127.0.0.1:{port}")).unwrap();
        let mut connection = Connection::new(&target, SOON);
        let request = target.get("/").unwrap();
        let told = connection.ask(&request).await.map(|answer| answer.status);
        assert_eq!(told, Err(NoAnswer::NotConnected));
    }
}
