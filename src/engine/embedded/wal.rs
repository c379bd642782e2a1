//! Checks the write-ahead log beside a data file for damage, before SQLite opens the two. SQLite takes the first invalid frame
//! as the end of the log, as it must after a power cut. It would therefore silently drop the commits behind a damaged frame,
//! and all commits of a log beside an empty data file.
//!
//! A power cut damages at most the last transaction, which was not answered yet. If another transaction follows the one with a
//! damaged frame, that frame was on disk before, so the log is damaged. Each process starts with an empty log, so that no
//! frames from before an earlier power cut are behind its end. Damage in the last transaction cannot be distinguished from a
//! power cut.
//!
//! The format is that of <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use super::OpenError;

/// The magic numbers, one for each byte order in which the checksums read the data.
const LITTLE_ENDIAN: u32 = 0x377f_0682;
const BIG_ENDIAN: u32 = 0x377f_0683;

const HEADER_BYTES: u64 = 32;
const PAGE_BYTES: std::ops::RangeInclusive<u32> = 512..=65_536;

/// Fails if SQLite would drop commits of the log.
pub(super) fn check(file: &Path) -> Result<(), OpenError> {
    let unusable = |error: io::Error| OpenError::File {
        file: file.to_owned(),
        cause: error.to_string(),
    };
    let log = beside(file);
    if length(&log).map_err(unusable)? <= HEADER_BYTES {
        return Ok(());
    }
    let damage = if length(file).map_err(unusable)? == 0 {
        // A data file gets its first content before it gets a log.
        Some("is there, but the file is empty")
    } else {
        find_damage(&mut BufReader::new(File::open(&log).map_err(unusable)?)).map_err(unusable)?
    };
    match damage {
        None => Ok(()),
        Some(damage) => Err(OpenError::Damaged {
            file: file.to_owned(),
            cause: format!("its log {} {damage}", log.display()),
        }),
    }
}

fn beside(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push("-wal");
    PathBuf::from(name)
}

/// The length of a file in bytes; 0 if it does not exist.
fn length(path: &Path) -> io::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    }
}

/// The damage of a log, if there is any.
fn find_damage(log: &mut impl Read) -> io::Result<Option<&'static str>> {
    let mut header = [0; 32];
    log.read_exact(&mut header)?;
    // A power cut cannot damage the header, which is flushed before the first frame is written.
    let Some(format) = Format::of(&header) else {
        return Ok(Some("has a damaged head"));
    };
    let (mut sum, mut broken, mut committed_behind) = (format.sum, false, false);
    let mut frame = [0; 24];
    let mut page = vec![0; format.page_bytes];
    while fill(log, &mut frame)? && fill(log, &mut page)? {
        let [_, commit, salt_1, salt_2, sum_1, sum_2] = words(&frame);
        if [salt_1, salt_2] != format.salts {
            // The frame was written before the last checkpoint, or never.
            broken = true;
            continue;
        }
        if !broken {
            sum = format.add(format.add(sum, &frame[..8]), &page);
            broken = sum != [sum_1, sum_2];
        }
        if broken && committed_behind {
            return Ok(Some("is damaged in the middle"));
        }
        committed_behind |= broken && commit != 0;
    }
    Ok(None)
}

/// Fills the buffer. Returns false if the log ends before that.
fn fill(log: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match log.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// The format of the frames, from the header.
struct Format {
    word: fn([u8; 4]) -> u32,
    page_bytes: usize,
    salts: [u32; 2],
    /// Start value of the frames' running checksum.
    sum: [u32; 2],
}

impl Format {
    fn of(header: &[u8; 32]) -> Option<Self> {
        let [magic, _, page_bytes, _, salt_1, salt_2, sum_1, sum_2] = words(header);
        let format = Self {
            word: match magic {
                LITTLE_ENDIAN => u32::from_le_bytes,
                BIG_ENDIAN => u32::from_be_bytes,
                _ => return None,
            },
            page_bytes: usize::try_from(page_bytes).ok()?,
            salts: [salt_1, salt_2],
            sum: [sum_1, sum_2],
        };
        let fits = PAGE_BYTES.contains(&page_bytes) && page_bytes.is_power_of_two();
        (fits && format.add([0, 0], &header[..24]) == format.sum).then_some(format)
    }

    /// The running checksum after these bytes.
    fn add(&self, [mut one, mut two]: [u32; 2], bytes: &[u8]) -> [u32; 2] {
        for pair in bytes.as_chunks::<4>().0.as_chunks::<2>().0 {
            let [first, second] = pair.map(self.word);
            one = one.wrapping_add(first).wrapping_add(two);
            two = two.wrapping_add(second).wrapping_add(one);
        }
        [one, two]
    }
}

/// The numbers of a header, which are big-endian.
fn words<const BYTES: usize, const WORDS: usize>(head: &[u8; BYTES]) -> [u32; WORDS] {
    const { assert!(BYTES == WORDS * 4) };
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(head.as_chunks().0) {
        *word = u32::from_be_bytes(*bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use diesel::{RunQueryDsl, connection::SimpleConnection, sql_query};
    use tempfile::TempDir;

    use super::*;
    use crate::engine::embedded::connect;

    const FRAME_BYTES: usize = 24 + 4_096;

    /// A data file and its log of ten transactions, as a killed process leaves them.
    fn file_of_killed_process() -> (TempDir, PathBuf) {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("live.db");
        let mut conn = connect::writer(&file).unwrap();
        conn.batch_execute("CREATE TABLE numbers (number INTEGER, filling BLOB)")
            .unwrap();
        for number in 1..10 {
            sql_query(format!(
                "INSERT INTO numbers VALUES ({number}, randomblob(9000))"
            ))
            .execute(&mut conn)
            .unwrap();
        }
        let copy = directory.path().join("copy.db");
        fs::copy(&file, &copy).unwrap();
        fs::copy(beside(&file), beside(&copy)).unwrap();
        (directory, copy)
    }

    fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    fn is_damaged(file: &Path) -> bool {
        match check(file) {
            Ok(()) => false,
            Err(OpenError::Damaged { .. }) => true,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_complete_log_and_a_missing_one_are_sound() {
        let (_directory, file) = file_of_killed_process();
        assert!(!is_damaged(&file));
        fs::write(beside(&file), "").unwrap();
        assert!(!is_damaged(&file));
        fs::remove_file(beside(&file)).unwrap();
        assert!(!is_damaged(&file));
    }

    #[test]
    fn a_log_beside_an_empty_or_missing_file_is_damage() {
        let (_directory, file) = file_of_killed_process();
        fs::write(&file, "").unwrap();
        assert!(is_damaged(&file));
        fs::remove_file(&file).unwrap();
        assert!(is_damaged(&file));
    }

    #[test]
    fn a_broken_byte_anywhere_but_in_the_last_transaction_is_damage() {
        let (_directory, file) = file_of_killed_process();
        let log = beside(&file);
        let whole = fs::read(&log).unwrap();
        let frames = (whole.len() - 32) / FRAME_BYTES;
        let is_commit = |frame: &usize| {
            let at = 32 + frame * FRAME_BYTES + 4;
            whole[at..at + 4] != [0; 4]
        };
        // The first frame of the last transaction.
        let last = (0..frames - 1).rfind(is_commit).unwrap() + 1;
        for (at, damaged) in [
            (0, true),
            (17, true),
            (32 + 1, true),
            (32 + 9, true),
            (32 + 100, true),
            (32 + (last - 1) * FRAME_BYTES + 30, true),
            (32 + (frames - 1) * FRAME_BYTES + 30, false),
        ] {
            change(&log, |bytes| bytes[at] ^= 0x40);
            assert_eq!(is_damaged(&file), damaged, "byte {at} of {frames} frames");
            fs::write(&log, &whole).unwrap();
        }
    }

    #[test]
    fn a_last_transaction_that_a_power_cut_interrupted_is_no_damage() {
        let (_directory, file) = file_of_killed_process();
        let log = beside(&file);
        let whole = fs::read(&log).unwrap();
        for lost in [1, 30, FRAME_BYTES - 1, FRAME_BYTES + 7] {
            change(&log, |bytes| bytes.truncate(whole.len() - lost));
            assert!(!is_damaged(&file), "without {lost} bytes");
            fs::write(&log, &whole).unwrap();
        }
        // Written out of order: an earlier page is missing, the commit is there.
        change(&log, |bytes| {
            let from = whole.len() - 2 * FRAME_BYTES;
            bytes[from..from + FRAME_BYTES].fill(0);
        });
        assert!(!is_damaged(&file));
    }

    #[test]
    fn frames_from_before_the_last_checkpoint_are_no_damage() {
        let (_directory, file) = file_of_killed_process();
        let mut conn = connect::writer(&file).unwrap();
        conn.batch_execute("PRAGMA wal_checkpoint(RESTART); INSERT INTO numbers VALUES (11, NULL)")
            .unwrap();
        assert!(!is_damaged(&file));
        assert!(length(&beside(&file)).unwrap() > 10 * FRAME_BYTES as u64);
    }

    #[test]
    fn a_new_file_has_content_before_it_has_a_log() {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("new.db");
        let _conn = connect::writer(&file).unwrap();
        assert!(length(&file).unwrap() > 0);
    }
}
