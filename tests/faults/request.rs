//! One request to an API, and what comes back.

use serde_json::Value;

use crate::client_log::Reply;

/// Sends a request, and reads whatever comes back.
pub async fn exchange(request: reqwest::RequestBuilder) -> (Reply, Value) {
    let answer = async {
        let response = request.send().await?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").cloned();
        Ok::<_, reqwest::Error>((status, retry_after, response.text().await?))
    };
    match answer.await {
        Err(error) if error.is_timeout() => (Reply::Nothing, Value::Null),
        Err(_) => (Reply::Broken, Value::Null),
        Ok((status, retry_after, text)) => {
            let body: Value = serde_json::from_str(&text).unwrap_or_default();
            let code = body["code"].as_str().map(str::to_owned);
            let retry_after = retry_after.and_then(|secs| secs.to_str().ok()?.parse().ok());
            let reply = Reply::Answer {
                status,
                // A body that is not ours has no code that is expected.
                code: code.unwrap_or_else(|| {
                    let fine = body["success"] == true || text.is_empty();
                    if fine { "" } else { "not in the contract" }.to_owned()
                }),
                retry_after,
            };
            (reply, body)
        }
    }
}
