//! A named setting from flag, environment or file. Collects every fault; opens nothing itself.
