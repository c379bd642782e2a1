//! Where a password comes from: standard input, or chance. Never from an argument, which every user of the machine can see.

use std::io::{self, BufRead, Read};

use anyhow::Context;
use clap::Args;

use crate::auth::{operators_password, random_password};

/// The longest line that is read, bytes: more than any password has.
const LONGEST: u64 = 4096;

#[derive(Debug, Args)]
pub(super) struct NewPassword {
    /// Read the password from the first line of standard input, instead of generating one
    #[arg(long)]
    password_stdin: bool,
}

/// A password to be set. Without `Debug`.
pub(super) enum Chosen {
    Given(String),
    Generated(String),
}

impl NewPassword {
    /// A password that may be given to this account.
    pub(super) fn choose(&self, username: &str, email: &str) -> anyhow::Result<Chosen> {
        if !self.password_stdin {
            return Ok(Chosen::Generated(random_password()?));
        }
        let mut line = String::new();
        let read = io::stdin().lock().take(LONGEST).read_line(&mut line);
        read.context("the password could not be read from standard input")?;
        let given = line.trim_end_matches(['\r', '\n']);
        let password = operators_password(given, username, email)?;
        Ok(Chosen::Given(password))
    }
}

impl Chosen {
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Given(text) | Self::Generated(text) => text,
        }
    }

    /// What is to be printed once.
    pub(super) fn generated(self) -> Option<String> {
        match self {
            Self::Given(_) => None,
            Self::Generated(text) => Some(text),
        }
    }
}
