//! The rules over the byte store. Never lets a value out except through a boot.
