//! The embedded system under the same load.

use std::{path::Path as Directory, time::Duration};

use flashsale::stress::Target;

use crate::{
    bed::tokens_of,
    measure::{Measured, Path},
    meter::Meter,
    system::{Server, prepare, wait_until_open},
};

/// Attempts that are on disk before they are answered, while the same process settles them.
pub async fn accepted(directory: &Directory, shoppers: usize, time: Duration) -> Measured {
    let data = directory.join("data");
    prepare(&data, shoppers);
    let server = Server::start(&data);
    wait_until_open(&server);
    let target = Target::new(&server.url()).unwrap();
    Path {
        name: "accepted, embedded",
        target: &target,
        method: "POST",
        uri: "/api/flash-sale/attempt/1".to_owned(),
        tokens: &tokens_of(shoppers),
        status: 200,
        buys: true,
        meters: vec![Meter::new("API", [server.pid()])],
        time,
    }
    .measure()
    .await
}
