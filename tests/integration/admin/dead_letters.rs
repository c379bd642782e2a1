//! Dead letters over HTTP.

use flashsale::port::Role;
use serde_json::json;

use super::desk::Desk;
use crate::support::system::{OneProcess, System};

#[tokio::test]
async fn dead_letters_are_read_and_decided_about_while_the_process_serves() {
    let system = OneProcess::start().await;
    for offset in 3..8 {
        system
            .sql(&format!(
                "INSERT INTO dead_letters (partition, log_offset, cause, buried_at) VALUES (0, {offset}, 'a test''s', 0)"
            ))
            .await;
    }
    let api = system.serve().await;
    let desk = Desk::of(&api, &system, Role::Operator).await;
    let list = desk.get("/dead-letters?limit=2").await.expect(200);
    let items = list.data()["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert_eq!(
        (&items[0]["id"], &items[0]["cause"]),
        (&json!("0:3"), &json!("a test's"))
    );
    assert_eq!(items[0]["decision"], serde_json::Value::Null);
    let next = list.data()["next"].as_str().unwrap();
    let rest = desk
        .get(&format!("/dead-letters?limit=500&after={next}"))
        .await;
    assert_eq!(rest.data()["items"].as_array().unwrap().len(), 3);
    assert_eq!(rest.data()["next"], serde_json::Value::Null);

    let path = "/dead-letters/0:4/discard";
    let baseless = desk.post(path, json!({})).await.expect(400);
    assert_eq!(baseless.body["message"], "reason is required");
    let body = json!({"reason": "A test"});
    let discarded = desk.post_once(path, "key", body.clone()).await.expect(200);
    assert_eq!(discarded.data()["outcome"], "discarded");
    assert!(
        desk.post_once(path, "key", body.clone())
            .await
            .is_replayed()
    );
    let log = api.process.output();
    let is_noted = |line: &&str| {
        let parts = ["security", "dead_letter", "discarded", "0:4", "127.0.0.1"];
        parts.iter().all(|part| line.contains(part)) && line.contains("left_out")
    };
    assert_eq!(log.lines().filter(is_noted).count(), 1, "{log}");
    let again = desk.post(path, body).await;
    assert_eq!((again.status, again.code()), (409, "not_allowed"));
    let shown = desk.get("/dead-letters/0:4").await.expect(200);
    let decision = &shown.data()["decision"];
    assert_eq!(
        (&decision["verdict"], &decision["reason"]),
        (&json!("discarded"), &json!("A test"))
    );
    let open = desk.get("/dead-letters?open=true").await.expect(200);
    assert_eq!(open.data()["items"].as_array().unwrap().len(), 4);
    let replay = desk.post("/dead-letters/0:5/replay", json!({})).await;
    assert_eq!(
        (replay.status, replay.code()),
        (409, "not_allowed"),
        "there is no record"
    );
    desk.get("/dead-letters/0:99").await.expect(404);
    desk.get("/dead-letters/x").await.expect(400);

    let actions = desk.get("/actions").await.expect(200);
    let newest = &actions.data()["items"][0];
    assert_eq!(
        (&newest["action"], &newest["target"], &newest["reason"]),
        (
            &json!("discard_dead_letter"),
            &json!("letter:0:4"),
            &json!("A test")
        )
    );
}
