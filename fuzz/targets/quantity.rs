//! Quantities: what is displayed means the same.

#![no_main]

use gitops_core::quantity::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(quantity) = text.parse::<Quantity>() else {
        return;
    };
    let shown = quantity.to_string();
    let again: Quantity = shown.parse().expect("what is displayed is a quantity");
    assert_eq!(quantity, again, "{text} is displayed {shown}");
    let _ = quantity.to_f64();
    assert_eq!(quantity.is_zero(), again.is_zero());
});
