//! Chooses the partition of a key in the same way as Kafka's default partitioner chooses it for the key, so
//! that producers in other languages agree.

use crate::ids::UserId;

/// The partition of a shopper: the key is the user id in decimal digits.
pub(super) fn partition_of(user: UserId, partitions: i32) -> i32 {
    partition_of_key(&user.to_string(), partitions)
}

/// The partition of a key.
pub(super) fn partition_of_key(key: &str, partitions: i32) -> i32 {
    let positive = murmur2(key.as_bytes()) & 0x7fff_ffff;
    #[allow(clippy::cast_possible_wrap)] // below 2^31 by the mask
    let hash = positive as i32;
    hash % partitions.max(1)
}

/// `MurmurHash2` with Kafka's seed: `org.apache.kafka.common.utils.Utils.murmur2`.
#[allow(clippy::cast_possible_truncation)] // keys have at most 60 bytes
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    let mut hash = SEED ^ (data.len() as u32);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        for (index, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_agrees_with_kafka_s_test_vectors() {
        let vectors: [(&str, i32); 7] = [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            (
                "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
                -58_897_971,
            ),
            ("abc", 479_470_107),
            ("", 275_646_681),
        ];
        for (key, hash) in vectors {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }
}
