//! How the programs are linked.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |what: &str| std::env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    // At a fixed address, as Go's programs are: a position-independent program
    // of this size spends a millisecond on moving its tables, half of what a
    // small chart takes.
    if target("OS") == "linux" && target("ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bin=gitops=-no-pie");
        // The unwinder is in the program. A library of its own takes a tenth of
        // a millisecond to load, half of it to ask what the processor can do,
        // which a virtual machine answers slowly.
        println!("cargo::rustc-link-lib=dylib:+verbatim=libgcc_eh.a");
    }
}
