//! What a reference means is the same for the store, which sees every secret, and for the agent, which sees a receipt.

use super::*;
use crate::domain::receipt::Receipt;

proptest! {
    #[test]
    fn the_agent_chooses_what_the_store_chose(all in candidates(), request in request(), disabled in prop::bool::ANY) {
        let disabled = if disabled { plugins(&["a"]).unwrap() } else { BTreeSet::new() };
        let resolution = super::super::resolve(&all, &disabled, &request);
        let chosen = resolution.references.clone();
        let receipt = Receipt::of(resolution, 1);
        for (asked, chosen) in chosen {
            let entry = receipt.referenced(&asked).map(|index| receipt.entries[index].id);
            prop_assert_eq!(entry, chosen.map(|chosen| chosen.id), "{}", asked);
        }
    }
}
