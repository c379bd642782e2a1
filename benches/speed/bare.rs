//! What everything is compared with: an actix server whose handlers do nothing, or verify a token and do nothing else. A
//! process of its own, started from this program.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header::AUTHORIZATION,
    web::{self, Data},
};
use flashsale::auth::Tokens;

use crate::bed::tokens;

/// The argument with which this program is the server.
pub const ARGUMENT: &str = "bare-server";

/// As long as the answer to somebody who comes too late.
const BODY: &str = r#"{"success":false,"error":"Conflict","message":"Sorry, the item is out of stock.","code":"sold_out"}"#;

/// The server's process. Killed when dropped.
pub struct Bare {
    child: Child,
    pub url: String,
}

impl Bare {
    pub fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(ARGUMENT)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut url)
            .unwrap();
        Self {
            child,
            url: url.trim().to_owned(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Serves for ever.
pub fn serve() {
    actix_web::rt::System::new().block_on(async {
        let tokens = Data::new(tokens());
        let app = move || {
            App::new()
                .app_data(tokens.clone())
                .route("/", web::get().to(async || answer()))
                .route("/token", web::get().to(verify))
        };
        let server = HttpServer::new(app)
            .workers(cores())
            .bind("127.0.0.1:0")
            .unwrap();
        println!("http://{}", server.addrs()[0]);
        server.run().await.unwrap();
    });
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn answer() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json")
        .body(BODY)
}

async fn verify(request: HttpRequest, tokens: Data<Tokens>) -> HttpResponse {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|header| header.to_str().ok()?.strip_prefix("Bearer "));
    match token.map(|token| tokens.verify(token)) {
        Some(Ok(_)) => answer(),
        _ => HttpResponse::Unauthorized().finish(),
    }
}
