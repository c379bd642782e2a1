//! `flashsale actions`: the action log.

use clap::Args;

use super::{
    operator::{plain, with_steering},
    target::Target,
};
use crate::{
    api::admin::body::ActionBody,
    config::Config,
    ids::SaleId,
    port::{Action, ActionId},
    terminal::{print_json, say},
};

/// List what operators did: who changed what, when and why
///
/// The newest first. Entries are never changed, and `flashsale audit` checks that. What somebody changes by SQL leaves none.
#[derive(Debug, Args)]
pub(super) struct Actions {
    /// Of this sale only
    #[arg(long, value_name = "ID")]
    sale: Option<SaleId>,
    /// Those with lower numbers
    #[arg(long, value_name = "NUMBER")]
    after: Option<i64>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    limit: u32,
    /// Print JSON instead of text, with the states before and after
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) target: Target,
}

impl Actions {
    pub(super) async fn run(self, config: Config) -> anyhow::Result<()> {
        let after = self.after.map(ActionId);
        with_steering(&self.target, &config, async |steering| {
            let actions = steering.admin.actions(self.sale, after, self.limit).await?;
            if self.json {
                let bodies: Vec<_> = actions.into_iter().map(ActionBody::from).collect();
                return Ok(print_json(&bodies)?);
            }
            for action in &actions {
                line(action);
            }
            say!("{} actions", actions.len());
            Ok(())
        })
        .await
    }
}

fn line(action: &Action) {
    let address = action.actor.address;
    let address = address
        .map(|address| format!(", {address}"))
        .unwrap_or_default();
    let reason = if action.reason.is_empty() {
        String::new()
    } else {
        format!(": {}", plain(&action.reason))
    };
    say!(
        "{}  {}  {} {} by {} ({}{address}){reason}",
        action.id.0,
        action.at.format("%FT%T%.3fZ"),
        action.name.as_str(),
        plain(&action.target),
        plain(&action.actor.name),
        plain(&action.actor.role)
    );
}
