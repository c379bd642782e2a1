//! A run for programs: one JSON document. Names are stable; ids of sales and products are numbers, as in the API.

use serde_json::{Value, json};

use super::{
    super::audit,
    outcome::{Outcome, QUANTILES, buckets, millis},
};
use crate::terminal::print_json;

/// Shown as help.
pub(super) const SCHEMA: &str = "\
JSON document:
  kept              true if every promise was kept
  settings          url, saleId, productId, productName, initialStock, shoppers, tokens (logged_in
                    or minted), presses, connections, threads, ratePerSec and seconds (or null),
                    startedAt
  load              answers, unanswered, unsent (due at the rate before the end, and no connection
                    was free), lateWakeUps (begun too late since this machine was busy), elapsedMs,
                    answersPerSec, clientCpuMs (or null)
  latencyMs         p50, p90, p99, p99.9, p99.99, max, mean; of answers, from when a request was due
  latencyHistogram  list of upToMs, count; each counts what is above the bound before
  overTime          stepMs, and lists answersPerSec, successesPerSec
  answers           list of status, code (null for a success), count
  noAnswers         list of cause (not_connected, closed, timeout, not_http, too_large), count
  results           accepted, success, failed, missing, unreadable: shoppers; remainingStock
  promises          list of name, state (kept, broken, unknown), found
  audit             the document of `flashsale audit --json`; null without one";

pub(super) fn print(outcome: &Outcome) -> anyhow::Result<()> {
    Ok(print_json(&document(outcome))?)
}

fn document(outcome: &Outcome) -> Value {
    let (stats, over_time) = (outcome.stats(), outcome.over_time());
    let answers = outcome.answers().map(|(status, code, count)| {
        let code = Some(code).filter(|code| !code.is_empty());
        json!({ "status": status, "code": code, "count": count })
    });
    let no_answers = stats.no_answers.iter();
    let no_answers =
        no_answers.map(|(cause, count)| json!({ "cause": cause.code(), "count": count }));
    let buckets = buckets(&stats.latency).into_iter();
    let buckets = buckets.map(|(bound, count)| json!({ "upToMs": millis(bound), "count": count }));
    let promises = outcome.promises.iter().map(|promise| {
        json!({ "name": promise.name, "state": promise.standing.code(), "found": promise.found })
    });
    let audited = outcome.audited.as_ref();
    let audited = audited.and_then(|audited| audited.0.as_ref().ok());
    let counts = outcome.counts;
    json!({
        "kept": outcome.is_kept(),
        "settings": settings(outcome),
        "load": {
            "answers": stats.answers(),
            "unanswered": stats.unanswered(),
            "unsent": stats.unsent,
            "lateWakeUps": stats.late,
            "elapsedMs": stats.elapsed.as_secs_f64() * 1e3,
            "answersPerSec": stats.throughput(),
            "clientCpuMs": stats.cpu.map(|cpu| cpu.as_secs_f64() * 1e3),
        },
        "latencyMs": latency(outcome),
        "latencyHistogram": buckets.collect::<Vec<_>>(),
        "overTime": {
            "stepMs": u64::try_from(over_time.step.as_millis()).unwrap_or(u64::MAX),
            "answersPerSec": over_time.answers,
            "successesPerSec": over_time.successes,
        },
        "answers": answers.collect::<Vec<_>>(),
        "noAnswers": no_answers.collect::<Vec<_>>(),
        "results": {
            "accepted": counts.accepted,
            "success": counts.success,
            "failed": counts.failed,
            "missing": counts.missing,
            "unreadable": counts.unreadable,
            "remainingStock": counts.remaining_stock,
        },
        "promises": promises.collect::<Vec<_>>(),
        "audit": audited.map(|report| audit::json::document(report, None)),
    })
}

fn settings(outcome: &Outcome) -> Value {
    let settings = &outcome.settings;
    json!({
        "url": settings.url,
        "saleId": settings.sale.value(),
        "productId": settings.product.value(),
        "productName": settings.product_name,
        "initialStock": settings.initial_stock,
        "shoppers": settings.shoppers,
        "tokens": if settings.is_minted { "minted" } else { "logged_in" },
        "presses": settings.presses,
        "connections": settings.connections,
        "threads": settings.threads,
        "ratePerSec": settings.rate,
        "seconds": settings.seconds,
        "startedAt": settings.started_at,
    })
}

fn latency(outcome: &Outcome) -> Value {
    let latency = &outcome.stats().latency;
    let mut values = serde_json::Map::new();
    for (name, quantile) in QUANTILES {
        let at = millis(latency.value_at_quantile(quantile));
        values.insert(name.to_owned(), at.into());
    }
    values.insert("max".to_owned(), millis(latency.max()).into());
    values.insert("mean".to_owned(), (latency.mean() / 1e3).into());
    values.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_what_its_schema_names() {
        let document = document(&super::super::outcome::tests::outcome());
        assert_eq!(document["kept"], false);
        assert_eq!(document["settings"]["saleId"], 7);
        assert_eq!(document["load"]["answers"], 10);
        assert_eq!(document["load"]["answersPerSec"], 40.0);
        assert_eq!(
            document["answers"],
            json!([{"status": 200, "code": null, "count": 2}, {"status": 409, "code": "sold_out", "count": 8}])
        );
        assert_eq!(
            document["noAnswers"],
            json!([{"cause": "timeout", "count": 1}])
        );
        assert_eq!(
            document["latencyHistogram"][0],
            json!({"upToMs": 1.0, "count": 3})
        );
        assert_eq!(document["promises"][0]["name"], "never_oversold");
        assert_eq!(document["promises"][0]["state"], "broken");
        for section in document.as_object().unwrap().keys() {
            assert!(SCHEMA.contains(&format!("\n  {section} ")), "{section}");
        }
        for field in ["settings", "load", "latencyMs", "overTime", "results"] {
            for name in document[field].as_object().unwrap().keys() {
                assert!(SCHEMA.contains(name.as_str()), "{field}.{name}");
            }
        }
    }
}
