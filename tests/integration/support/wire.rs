//! A wire to a server that can be held, slowed down or cut, and led to another port.

#![allow(clippy::disallowed_methods)] // it lives as long as its test

use std::{future::Future, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinHandle,
    time::Instant,
};

/// Pieces that may be under way on a slow wire, in one direction of one connection.
const UNDER_WAY: usize = 1_024;

/// What becomes of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Traffic {
    Flowing,
    /// They stop, yet the kernels at both ends acknowledge, as when a server is paused.
    Held,
    /// Connections are reset, new ones as soon as they come.
    Cut,
    /// What the server says comes so much later.
    Late(Duration),
    /// What the client asks comes so much later.
    AskedLate(Duration),
}

/// A listening end on loopback, forwarded to a server.
pub struct Wire {
    pub port: u16,
    traffic: watch::Sender<Traffic>,
    server: watch::Sender<String>,
    accepting: JoinHandle<()>,
}

impl Wire {
    pub async fn to(host: &str, port: u16) -> Self {
        Self::at("127.0.0.1:0", host, port).await
    }

    /// One that begins at this address.
    pub async fn at(own: &str, host: &str, port: u16) -> Self {
        let listener = TcpListener::bind(own).await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let (traffic, watched) = watch::channel(Traffic::Flowing);
        let (server, address) = watch::channel(format!("{host}:{port}"));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, address.borrow().clone(), watched.clone()));
            }
        });
        Self {
            port: own_port,
            traffic,
            server,
            accepting,
        }
    }

    /// Holds back all bytes, or lets them go on.
    pub fn hold(&self, hold: bool) {
        self.set(if hold {
            Traffic::Held
        } else {
            Traffic::Flowing
        });
    }

    pub fn set(&self, traffic: Traffic) {
        self.traffic.send_replace(traffic);
    }

    /// Where connections lead to from now on.
    pub fn lead_to(&self, port: u16) {
        self.server.send_replace(format!("127.0.0.1:{port}"));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One connection, until one of its ends closes it or the wire is cut.
async fn connect(client: TcpStream, server: String, traffic: watch::Receiver<Traffic>) {
    // Whatever still waits in a buffer when the wire is cut is lost, as on a real one.
    let _ = client.set_zero_linger();
    if *traffic.borrow() == Traffic::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(&server).await else {
        return;
    };
    let _ = server.set_zero_linger();
    for end in [&client, &server] {
        let _ = end.set_nodelay(true);
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let mut cut = traffic.clone();
    tokio::select! {
        ((), ()) = async { tokio::join!(
            forward(from_client, to_server, traffic.clone(), false),
            forward(from_server, to_client, traffic.clone(), true),
        ) } => {}
        _ = cut.wait_for(|traffic| *traffic == Traffic::Cut) => {}
    }
}

/// Passes bytes on in one direction: read as they come, written when they are due, however many are under way.
fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut traffic: watch::Receiver<Traffic>,
    replies: bool,
) -> impl Future<Output = ()> {
    let (queue, mut under_way) = mpsc::channel(UNDER_WAY);
    let watched = traffic.clone();
    let read = async move {
        let mut buffer = vec![0; 65536];
        while let Ok(size @ 1..) = from.read(&mut buffer).await {
            let due = match *watched.borrow() {
                Traffic::Late(delay) if replies => Instant::now() + delay,
                Traffic::AskedLate(delay) if !replies => Instant::now() + delay,
                _ => Instant::now(),
            };
            if queue.send((due, buffer[..size].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = under_way.recv().await {
            tokio::time::sleep_until(due).await;
            let flows = traffic.wait_for(|traffic| *traffic != Traffic::Held);
            if flows.await.is_err() || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The other end is told that no more comes.
        let _ = to.shutdown().await;
    };
    async move {
        tokio::join!(read, write);
    }
}
