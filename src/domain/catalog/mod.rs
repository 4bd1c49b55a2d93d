//! What secrets are shown under and made from: the categories, and presets of well-known platforms. A preset supplies
//! names, a category and what is known of the values' form; it never refuses a value, and holds none.

mod category;
mod form;
mod preset;
mod table;
#[cfg(test)]
mod tests;

pub use category::{CategoryForm, Colour, Description, builtin as builtin_categories};
pub use form::looks_like_a_key;
pub use preset::{Preset, PresetError, PresetField, Presets};
