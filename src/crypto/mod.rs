//! Keys, sealing and key slots. Randomness is an argument; nothing here does I/O.
