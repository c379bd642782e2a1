//! Comparing a password with a stored hash: an argon2id of ours, or a bcrypt that came along from the original service.

use argon2::{
    Argon2,
    password_hash::{Error as HashError, PasswordVerifier, phc::PasswordHash},
};

/// Whether a password is that of a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    No,
    Yes,
    /// It is, and the hash is one of the original service: ours should take its place.
    Outdated,
}

/// bcrypt reads no more of a password.
const BCRYPT_BYTES: usize = 72;
/// The original's cost is 10, some 50 ms. One of 14 takes 16 times as long; a higher one would block a thread for minutes.
pub const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=14;

/// The cost of a bcrypt hash; `None` if it is none.
#[must_use]
pub fn bcrypt_cost(stored: &str) -> Option<u32> {
    let parts: bcrypt::HashParts = stored.parse().ok()?;
    Some(parts.get_cost())
}

/// True for a hash that a login can be compared with.
#[must_use]
pub fn is_comparable(stored: &str) -> bool {
    match bcrypt_cost(stored) {
        Some(cost) => BCRYPT_COSTS.contains(&cost),
        None => PasswordHash::new(stored).is_ok(),
    }
}

/// Whether this is the password of a stored hash. No password fits what is no hash.
pub(super) fn compare(argon2: &Argon2<'_>, password: &str, stored: &str) -> Result<Fit, HashError> {
    if let Some(cost) = bcrypt_cost(stored) {
        let is_bearable = BCRYPT_COSTS.contains(&cost);
        return Ok(if is_bearable {
            compare_bcrypt(password, stored)
        } else {
            Fit::No
        });
    }
    let Ok(stored) = PasswordHash::new(stored) else {
        return Ok(Fit::No);
    };
    match argon2.verify_password(password.as_bytes(), &stored) {
        Ok(()) => Ok(Fit::Yes),
        Err(HashError::PasswordInvalid) => Ok(Fit::No),
        Err(error) => Err(error),
    }
}

fn compare_bcrypt(password: &str, stored: &str) -> Fit {
    match bcrypt::verify(password, stored) {
        // Of a longer one the rest was not compared, so that its hash could be that of a mistyped password.
        Ok(true) if password.len() <= BCRYPT_BYTES => Fit::Outdated,
        Ok(true) => Fit::Yes,
        // The hash was parsed before, so that nothing else can be wrong with it.
        Ok(false) | Err(_) => Fit::No,
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordHasher;

    use super::*;

    fn fit(password: &str, stored: &str) -> Fit {
        compare(&Argon2::default(), password, stored).unwrap()
    }

    fn bcrypted(password: &str, version: bcrypt::Version) -> String {
        bcrypt::hash_with_salt(password, 4, [7; 16])
            .unwrap()
            .format_for_version(version)
    }

    #[test]
    fn a_bcrypt_of_the_original_fits_its_password_and_is_outdated() {
        use bcrypt::Version::{TwoA, TwoB, TwoY};
        for version in [TwoA, TwoB, TwoY] {
            let stored = bcrypted("pässword", version);
            assert_eq!(fit("pässword", &stored), Fit::Outdated, "{stored}");
            assert_eq!(fit("Pässword", &stored), Fit::No);
            assert_eq!(fit("", &stored), Fit::No);
        }
    }

    #[test]
    fn a_hash_that_another_library_made_fits() {
        // The test vector of the bcrypt of OpenBSD for the password U*U (crypt_blowfish, wrapper.c).
        let stored = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        assert_eq!(fit("U*U", stored), Fit::Outdated);
        assert_eq!(fit("U*V", stored), Fit::No);
    }

    #[test]
    fn of_a_longer_password_bcrypt_compares_72_bytes_and_the_hash_stays() {
        let password = "x".repeat(80);
        let stored = bcrypted(&password, bcrypt::Version::TwoB);
        assert_eq!(fit(&password, &stored), Fit::Yes);
        assert_eq!(fit(&format!("{}yyy", &password[..72]), &stored), Fit::Yes);
        assert_eq!(fit(&password[..71], &stored), Fit::No);
        assert_eq!(fit(&password[..72], &stored), Fit::Outdated);
    }

    #[test]
    fn no_password_fits_what_is_no_hash() {
        let costly = bcrypted("secret", bcrypt::Version::TwoB).replace("$04$", "$31$");
        for wrong in [
            "",
            "-",
            "none",
            "secret",
            "$2b$10$short",
            "$2b$10$abcdefghijklmnopqrstuv",
            "$1$abc$def",
            "$argon2id$",
            costly.as_str(),
        ] {
            assert_eq!(fit("secret", wrong), Fit::No, "{wrong}");
            assert!(!is_comparable(wrong), "{wrong}");
        }
        let ours = Argon2::default().hash_password(b"secret").unwrap();
        assert_eq!(fit("secret", &ours.to_string()), Fit::Yes);
        assert!(is_comparable(&ours.to_string()));
    }
}
