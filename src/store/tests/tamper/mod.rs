//! The owner of the byte store replays, deletes, swaps and truncates rows at random, on SQLite and on etcd, while servers run and
//! while they are stopped. What the store then does is compared with a model of what it has acknowledged.
//!
//! `DROPSAFE_TAMPER_SEED` and `DROPSAFE_TAMPER_COUNT` make a longer campaign of it; see CONTRIBUTING.md.
#![expect(clippy::disallowed_methods, reason = "environment variables say how long a campaign is")]

mod actions;
mod bytes;
mod campaign;
mod checkpoint;
mod counts;
mod history;
mod model;
mod random;
mod steps;

use self::bytes::BytePlace;
use self::counts::{Counts, Detection};
use crate::kv::conformance::skipped;
use crate::kv::etcd::tests::Alone;

/// Changes in an ordinary run of the tests.
const COUNT: usize = 20;

fn number(name: &str, default: u64) -> u64 {
    std::env::var_os(name).map_or(default, |text| text.to_str().unwrap().parse().unwrap())
}

async fn campaign(place: fn() -> BytePlace) {
    let (seed, count) = (number("DROPSAFE_TAMPER_SEED", 1), number("DROPSAFE_TAMPER_COUNT", COUNT as u64));
    println!("seed {seed}, {count} changes");
    let mut counts = Counts::default();
    campaign::run(place, seed, usize::try_from(count).unwrap(), &mut counts).await;
    counts.assert_sound();
    assert_eq!(u64::from(counts.tamperings()), count);
    assert!(counts.noticed(Detection::AtBoot) > 0 && counts.noticed(Detection::ByCheck) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_of_rows_on_sqlite_releases_a_wrong_value_or_stays_unnoticed() {
    campaign(BytePlace::sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_of_rows_on_etcd_releases_a_wrong_value_or_stays_unnoticed() {
    if skipped::<Alone>() {
        return;
    }
    campaign(BytePlace::etcd).await;
}
