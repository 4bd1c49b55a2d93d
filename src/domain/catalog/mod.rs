//! What secrets are shown under and made from: the categories, and presets of well-known platforms. A preset supplies
//! names, a category and what is known of the values' form; it never refuses a value, and holds none.

mod category;
mod form;
mod preset;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use category::{CategoryForm, Colour, builtin as builtin_categories};
pub(crate) use preset::{Preset, PresetField, Presets};
