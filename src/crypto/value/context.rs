//! The place of a value: what a value and its wrapped key are bound to. It is never stored with them, so that a row which is
//! copied elsewhere does not bring its place along.

use crate::crypto::aad::Aad;

/// The place of a value.
#[derive(Clone, Copy, Debug)]
pub struct ValueContext<'a> {
    pub store: &'a [u8; 16],
    pub org: &'a [u8; 16],
    /// A number for the kind of scope: shared or private.
    pub scope: u8,
    /// Id of the owner of a private secret.
    pub owner: Option<&'a [u8; 16]>,
    pub secret: &'a [u8; 16],
    pub env: &'a str,
    pub version: &'a [u8; 16],
}

impl ValueContext<'_> {
    /// The associated data of a ciphertext of the format `label`, sealed for the key of `generation`.
    pub(crate) fn bind(&self, label: &str, generation: u32) -> Aad {
        // The order is part of the stored format: tests/vectors/formats-1.json fixes it.
        Aad::new(label)
            .part(self.store)
            .part(self.org)
            .part(&[self.scope])
            .optional(self.owner.map(|owner| owner.as_slice()))
            .part(self.secret)
            .part(self.env.as_bytes())
            .part(self.version)
            .u32(generation)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, prop_assert_ne};
    use proptest::{option, proptest};

    use super::*;

    type Parts = ([u8; 16], [u8; 16], u8, Option<[u8; 16]>, [u8; 16], String, [u8; 16], u32);

    fn bound(parts: &Parts) -> Vec<u8> {
        let (store, org, scope, owner, secret, env, version, generation) = parts;
        let context = ValueContext { store, org, scope: *scope, owner: owner.as_ref(), secret, env, version };
        context.bind("label", *generation).as_bytes().to_vec()
    }

    proptest! {
        #[test]
        fn two_contexts_are_bound_alike_only_if_they_are_the_same(one: Parts, other: Parts) {
            prop_assert_eq!(bound(&one) == bound(&other), one == other);
        }

        /// As above, with contexts as close to each other as can be: each part in turn is another's.
        #[test]
        fn one_differing_part_is_enough(one: Parts, other: Parts, owner in option::of(any::<[u8; 16]>())) {
            let mut variants: [Parts; 9] = std::array::from_fn(|_| one.clone());
            variants[0].0 = other.0;
            variants[1].1 = other.1;
            variants[2].2 = other.2;
            variants[3].3 = other.3;
            variants[4].3 = owner;
            variants[5].4 = other.4;
            variants[6].5 = other.5;
            variants[7].6 = other.6;
            variants[8].7 = other.7;
            for variant in variants.iter().filter(|variant| **variant != one) {
                prop_assert_ne!(bound(variant), bound(&one));
            }
        }
    }
}
