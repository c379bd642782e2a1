//! `flashsale import --from-original`: surveys all rows first, so that all problems are reported at once, then reads them again
//! and imports them.

use std::{
    fs::{File, OpenOptions},
    io::{BufReader, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, bail};
use tokio::sync::mpsc;

use super::{AHEAD, say_dry, wait_for_database};
use crate::{
    auth,
    config::{Config, PostgresConfig},
    engine::{
        postgres::{
            import::{Finish, Windows, import},
            original::{Found, Original},
        },
        transfer::changes::{Changes, RowChange},
    },
    terminal::{Plain, say},
};

/// Maximum number of problems that are printed. The others are only counted.
const PRINTED: usize = 1_000;

/// The operator's files: the changes to apply, and where to write proposed changes.
#[derive(Clone, Copy)]
pub(super) struct Files<'a> {
    pub changes: Option<&'a Path>,
    pub propose: Option<&'a Path>,
}

pub(super) async fn load(
    database: &str,
    files: Files<'_>,
    config: &Config,
    finish: Finish,
) -> anyhow::Result<()> {
    let changes = files.changes.map_or_else(|| Ok(Changes::default()), read)?;
    wait_for_database(config).await?;
    let source = PostgresConfig {
        database: database.to_owned(),
        ..config.original.clone()
    };
    let mut original = Original::open(&source).await.context(
        "the original's database (ORIGINAL_POSTGRES_HOST, _PORT, _USER, _PASSWORD; where not set, those of POSTGRES)",
    )?;
    let found = original.survey(&changes, auth::is_comparable).await?;
    if !found.problems.is_empty() {
        return refuse(&found, files.propose);
    }
    let (rows, fed) = mpsc::channel(AHEAD);
    let feeding = original.feed(&changes, &found.sold, rows);
    let importing = import(&config.postgres, fed, Windows::Unknown, finish);
    let ((), imported) = tokio::join!(feeding, importing);
    let seals =
        imported.with_context(|| format!("nothing was taken over from database {database}"))?;
    say!(
        "{}: {seals}; counts and checksums are those of database {database}",
        config.postgres.database
    );
    print_notes(&found);
    say_dry(finish);
    Ok(())
}

/// Prints the numbers of rows that need attention after the import.
fn print_notes(found: &Found) {
    if found.pending > 0 {
        say!(
            "PENDING orders: {}. They hold no unit, and become SUCCESS if the topic still has their records and units are left",
            found.pending
        );
    }
    if found.failed > 0 {
        say!(
            "FAILED orders: {}. They hold no unit, and stay so",
            found.failed
        );
    }
    if found.without_login > 0 {
        say!(
            "accounts with neither a bcrypt nor an argon2 hash: {}. Nobody can log in to them",
            found.without_login
        );
    }
}

/// Prints the problems, writes the proposed changes if there is a file for them, and fails.
fn refuse(found: &Found, propose: Option<&Path>) -> anyhow::Result<()> {
    for problem in found.problems.iter().take(PRINTED) {
        say!("{}", Plain(problem));
    }
    let count = found.problems.len();
    if count > PRINTED {
        say!("and {} more", count - PRINTED);
    }
    let named = format!(
        "nothing was taken over: {count} {} in the way",
        if count == 1 { "thing is" } else { "things are" }
    );
    let Some(path) = propose else {
        bail!(
            "{named}; --propose FILE writes changes that would solve it, to be given with --changes"
        );
    };
    write(path, &found.proposals).with_context(|| format!("cannot write {}", path.display()))?;
    bail!(
        "{named}; look at {0} and give it with --changes {0}",
        path.display()
    );
}

fn read(path: &Path) -> anyhow::Result<Changes> {
    let name = path.display();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    Changes::read(BufReader::new(file)).with_context(|| format!("in {name}"))
}

/// Writes one line for each changed row. Only the owner can read the file, since it has names. Fails if the file exists.
fn write(path: &Path, changes: &Changes) -> anyhow::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let mut out = BufWriter::new(file);
    let Changes {
        users,
        new_users,
        products,
        sales,
        orders,
    } = changes.clone();
    let users = users.into_values().map(RowChange::User);
    let new_users = new_users.into_values().map(RowChange::NewUser);
    let products = products.into_values().map(RowChange::Product);
    let sales = sales.into_values().map(RowChange::Sale);
    let orders = orders.into_values().map(RowChange::Order);
    let all = users.chain(new_users).chain(products).chain(sales);
    for change in all.chain(orders) {
        serde_json::to_writer(&mut out, &change)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
