//! What came of calls to the ports that change something or change nothing: one enum for each call, its variants facts.

/// When the gate is to close a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseRequest {
    /// Only if what it keeps of the sale is inconsistent.
    IfInconsistent,
    /// In any case, for a reason of the caller's.
    Unconditional,
}

/// The answer to claiming a pending attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// It is pending, and its release is refused from now on.
    Claimed,
    /// It holds nothing, is settled already, or the sale is unknown.
    NotPending,
}

/// The answer to starting to load a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStart {
    /// This loading may go on.
    Begun,
    /// The sale is open, or another loading of it started less than its lease ago.
    OpenOrLoading,
}

/// The answer to a further step of a loading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadStep {
    Applied,
    /// Another loading took its place, or the gate was emptied. Nothing was changed.
    Superseded,
}

/// The answer to applying terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TermsOutcome {
    /// Exactly these terms are in force.
    InForce,
    /// Other terms are in force, of this version: newer ones or, after the ledger was set back, others of the same version.
    /// Nothing was changed.
    OthersInForce { version: u64 },
    /// The sale is not open: it gets its terms when it is loaded.
    NotOpen,
}

/// The answer to setting units aside that leave a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithdrawOutcome {
    /// So many are set aside, by this call or an earlier one. 0: none was available or, if all were to be, not enough.
    Withdrawn(u32),
    /// Nothing is set aside for the movement, and newer terms are in force than the caller saw: it may be closed and cleared
    /// since. Nothing was changed.
    Outdated,
    /// The sale is unknown, closed or being loaded: nothing is known, and nothing was changed.
    NotOpen,
}

/// The answer to taking out orders that have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndOrdersOutcome {
    /// None of them holds a unit any more.
    TakenOut,
    /// The sale is not open. It must be called again: an older snapshot may bring the holders back.
    NotOpen,
}

/// The answer to unloading a sale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnloadOutcome {
    /// The gate does not know the sale any more.
    Unloaded,
    /// An attempt is pending. Nothing was forgotten.
    AttemptsPending,
}

/// The answer to replacing a password hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordHashOutcome {
    Replaced,
    /// The account has another hash by now, or is gone. Nothing was changed.
    Superseded,
}

/// The answer to moving a partition to another offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekOutcome {
    Moved,
    /// The partition does not stand at the expected offset: another worker has it. Nothing was changed.
    Fenced,
}
