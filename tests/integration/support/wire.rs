//! A wire to a server that can be held: bytes stop, yet the kernels at both ends acknowledge, as when a server is paused.

#![allow(clippy::disallowed_methods)] // it lives as long as its test

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

/// A listening end on loopback, forwarded to a server.
pub struct Wire {
    pub port: u16,
    held: watch::Sender<bool>,
}

impl Wire {
    pub async fn to(host: &str, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let own_port = listener.local_addr().unwrap().port();
        let (held, watched) = watch::channel(false);
        let server = format!("{host}:{port}");
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(forward(from_client, to_server, watched.clone()));
                tokio::spawn(forward(from_server, to_client, watched.clone()));
            }
        });
        Self {
            port: own_port,
            held,
        }
    }

    /// Holds back all bytes, or lets them go on.
    pub fn hold(&self, hold: bool) {
        self.held.send_replace(hold);
    }
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut held: watch::Receiver<bool>) {
    let mut buffer = vec![0; 65536];
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        if held.wait_for(|held| !held).await.is_err()
            || to.write_all(&buffer[..size]).await.is_err()
        {
            return;
        }
    }
}
