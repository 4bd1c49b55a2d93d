//! A named setting from flag, environment or file, in that order; what is wrong with any of them is collected with
//! its source, so that all of it can be told at once. Opens no file, reads no environment, and never quotes what it
//! could not parse: a file of settings may hold secrets, and a mistyped variable may be one.

mod fault;
pub mod form;
mod key;
mod reader;
mod source;
mod yaml;

pub use fault::Fault;
pub use fault::Faults;
pub use key::Key;
pub use key::Origin;
pub use key::nearest;
pub use reader::Reader;
pub use reader::Setting;
pub use source::Environment;
pub use source::Found;
pub use source::Items;
pub use source::Source;
pub use yaml::Content;
pub use yaml::Entry;
pub use yaml::File;
pub use yaml::Node;
