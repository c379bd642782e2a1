//! An endpoint of webhooks as a shop would have one: checks signatures, keeps what it accepts, and answers as the test says.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use ring::hmac;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::wait_until;

/// One request.
#[derive(Debug, Clone)]
pub struct Received {
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// What it was answered with.
    pub status: u16,
}

/// The endpoint. It ends with this value.
pub struct Receiver {
    pub url: String,
    status: Arc<AtomicU16>,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let status = Arc::new(AtomicU16::new(204));
        let received: Arc<Mutex<Vec<Received>>> = Arc::default();
        let (answer, kept) = (Arc::clone(&status), Arc::clone(&received));
        #[allow(clippy::disallowed_methods)]
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let status = answer.load(Ordering::SeqCst);
                if let Some(request) = serve(stream, status).await {
                    kept.lock().unwrap().push(request);
                }
            }
        });
        Self {
            url,
            status,
            received,
            task,
        }
    }

    /// What the next requests are answered with.
    pub fn answer(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// The events of accepted requests, in the order in which they came, repetitions left out.
    pub fn events(&self) -> Vec<Value> {
        let mut events: Vec<Value> = Vec::new();
        for request in self.received() {
            if request.status != 204 {
                continue;
            }
            for event in request.events() {
                if !events.iter().any(|known| known["id"] == event["id"]) {
                    events.push(event);
                }
            }
        }
        events
    }

    /// Waits until an accepted event has this type.
    pub async fn wait_for(&self, event_type: &str) {
        let what = format!("the endpoint is told {event_type}");
        wait_until(&what, Duration::from_secs(30), || async {
            self.events()
                .iter()
                .any(|event| event["type"] == event_type)
        })
        .await;
    }

    pub async fn wait_for_requests(&self, count: usize) {
        let what = format!("{count} requests");
        wait_until(&what, Duration::from_secs(30), || async {
            self.received().len() >= count
        })
        .await;
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Received {
    pub fn events(&self) -> Vec<Value> {
        match serde_json::from_slice(&self.body).unwrap() {
            Value::Array(events) => events,
            event => vec![event],
        }
    }

    /// Whether one of its signatures is made with this secret.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = secret.strip_prefix("whsec_").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &BASE64_STANDARD.decode(key).unwrap());
        let (id, time) = (
            &self.headers["webhook-id"],
            &self.headers["webhook-timestamp"],
        );
        let mut signed = format!("{id}.{time}.").into_bytes();
        signed.extend_from_slice(&self.body);
        let mut signatures = self.headers["webhook-signature"].split(' ');
        signatures.any(|signature| {
            let tag = signature.strip_prefix("v1,").unwrap();
            hmac::verify(&key, &signed, &BASE64_STANDARD.decode(tag).unwrap()).is_ok()
        })
    }
}

/// Reads one request and answers it.
async fn serve(mut stream: TcpStream, status: u16) -> Option<Received> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let headers: BTreeMap<String, String> = text
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length: usize = headers["content-length"].parse().unwrap();
    let mut body = bytes.split_off(head + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    let location = if (300..400).contains(&status) {
        "Location: http://169.254.169.254/\r\n"
    } else {
        ""
    };
    let answer = format!(
        "HTTP/1.1 {status} Answer\r\n{location}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    let answer = if status == 204 {
        "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_owned()
    } else {
        answer
    };
    stream.write_all(answer.as_bytes()).await.ok()?;
    Some(Received {
        headers,
        body,
        status,
    })
}
