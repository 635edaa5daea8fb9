use super::circles_of;
use super::module_tree::ModuleTree;
use std::path::Path;

#[track_caller]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let read_file = |path: &Path| {
        let found = files.iter().find(|(name, _)| Path::new("src").join(name) == path);
        found.map(|(_, text)| (*text).to_owned())
    };
    let tree = ModuleTree::read(Path::new("src/lib.rs"), &read_file).unwrap();
    assert_eq!(circles_of(&tree), expected);
}

const A_AND_B: (&str, &str) = ("lib.rs", "mod a; mod b;");

#[test]
fn a_dependency_circle_names_its_edges() {
    let circle = "2 files use each other in a circle\n  a.rs -> b.rs: B, help\n  b.rs -> a.rs: A";
    let b = ("b.rs", "use super::a::A; pub struct B; pub fn help() {} fn f(_: A) {}");
    check(
        &[A_AND_B, ("a.rs", "use crate::b::{self, B}; pub struct A(B); fn f() { b::help() }"), b],
        &[circle],
    );
    check(
        &[A_AND_B, ("a.rs", "pub struct A(crate::b::B); fn f() { super::b::help() }"), b],
        &[circle],
    );
    check(
        &[
            A_AND_B,
            (
                "a.rs",
                "pub struct A; fn f() -> bool { matches!(x(), crate::b::B) || y(&[crate::b::help()]) }",
            ),
            b,
        ],
        &[circle],
    );
    check(&[A_AND_B, ("a.rs", "pub struct A;"), b], &[]);
}

#[test]
fn a_circle_of_three_files_is_found() {
    let lib = ("lib.rs", "mod a; mod b; mod c;");
    let (a, b) =
        (("a.rs", "pub use crate::b::B; pub struct A(B);"), ("b.rs", "pub struct B(crate::c::C);"));
    let expected = "3 files use each other in a circle\n  a.rs -> b.rs: B\n  b.rs -> c.rs: C\n  c.rs -> a.rs: A";
    check(&[lib, a, b, ("c.rs", "use crate::a::A; pub struct C(A);")], &[expected]);
    check(&[lib, a, b, ("c.rs", "pub struct C;")], &[]);
    let passes_on = ("a.rs", "pub(crate) use crate::b::B; pub struct A;");
    check(&[lib, passes_on, b, ("c.rs", "use crate::a::A; pub struct C(A);")], &[]);
}

#[test]
fn a_module_and_its_children_may_use_each_other() {
    let a = ("a/mod.rs", "mod one; mod two; pub use one::One; pub struct A(two::Two);");
    let one = ("a/one/mod.rs", "mod deep; use super::A; pub struct One(A); pub use deep::Deep;");
    let deep = ("a/one/deep.rs", "use crate::a::A; use super::One; pub struct Deep(A, One);");
    let lib = ("lib.rs", "mod a; pub struct Root(a::A);");
    check(&[lib, a, one, deep, ("a/two.rs", "pub struct Two(crate::Root, super::A);")], &[]);
    let two = ("a/two.rs", "use super::One; pub struct Two(One);");
    check(&[lib, a, one, deep, two], &[]);
    let one = ("a/one/mod.rs", "mod deep; pub struct One(super::two::Two);");
    let expected = "2 files use each other in a circle\n  a/one/mod.rs -> a/two.rs: Two\n  a/two.rs -> a/one/mod.rs: One";
    check(&[lib, a, one, deep, two], &[expected]);
}

#[test]
fn a_circle_through_a_module_file_is_found() {
    let lib = ("lib.rs", "mod a; mod b;");
    let (a, b) =
        (("a/mod.rs", "mod one; pub struct A(one::One);"), ("b.rs", "pub struct B(crate::a::A);"));
    let expected = "3 files use each other in a circle\n  a/mod.rs -> a/one.rs: One\n  a/one.rs -> b.rs: B\n  b.rs -> a/mod.rs: A";
    check(&[lib, a, ("a/one.rs", "pub struct One(crate::b::B);"), b], &[expected]);
    check(&[lib, a, ("a/one.rs", "pub struct One;"), b], &[]);

    let a = ("a/mod.rs", "mod one; pub use one::One; pub struct A(crate::b::B);");
    let one = ("a/one.rs", "pub struct One(super::A);");
    let expected = "3 files use each other in a circle\n  a/mod.rs -> b.rs: B\n  a/one.rs -> a/mod.rs: A\n  b.rs -> a/one.rs: One";
    check(&[lib, a, one, ("b.rs", "pub struct B(crate::a::One);")], &[expected]);
    check(&[lib, a, one, ("b.rs", "pub struct B;")], &[]);
}

#[test]
fn a_reexport_resolves_to_the_defining_file() {
    let lib = ("lib.rs", "mod a; mod b; pub use b::B as Other;");
    let a = ("a/mod.rs", "mod name; mod user; pub(crate) use name::{Name, *};");
    let user = ("a/user.rs", "pub struct User(crate::b::B);");
    // The name's own file uses nothing: no circle, although both go through a/mod.rs.
    let name = ("a/name.rs", "pub struct Name; pub struct Starred;");
    check(&[lib, a, user, name, ("b.rs", "pub struct B(crate::a::Name, crate::a::Starred);")], &[]);
    let name = ("a/name.rs", "pub struct Name(crate::Other); pub struct Starred;");
    let b = ("b.rs", "use crate::a::{Name, Starred as S}; pub struct B(Name, S);");
    let expected = "2 files use each other in a circle\n  a/name.rs -> b.rs: B\n  b.rs -> a/name.rs: Name, Starred";
    check(&[lib, a, user, name, b], &[expected]);
}

#[test]
fn test_code_adds_no_dependency() {
    let b = ("b.rs", "pub struct B(crate::a::A);");
    for tests in [
        "#[cfg(test)] mod tests { use crate::b::B; }",
        "#[cfg(test)] mod tests;",
        "#[cfg(all(test, feature = \"x\"))] use crate::b::{B, C}; fn f() {}",
        "#[test] #[should_panic] fn f() { crate::b::B; }",
        "#[tokio::test(start_paused = true)] async fn f() { crate::b::B; }",
        "struct S { #[cfg(test)] b: crate::b::B, c: u8 }",
        "impl A { #[cfg(test)] pub(crate) fn f<X, Y>(self) { crate::b::f() } fn g() {} }",
        "#[cfg(test)] pub(crate) const C: crate::b::B = crate::b::B { x: 1 };",
        "#[cfg(test)] const fn c() { crate::b::f() }",
    ] {
        let a = format!("pub struct A; {tests}");
        check(&[A_AND_B, ("a.rs", &a), b, ("a/tests.rs", "use crate::b::B;")], &[]);
    }
    let expected = "2 files use each other in a circle\n  a.rs -> b.rs: B\n  b.rs -> a.rs: A";
    for shipped in [
        "#[cfg(not(test))] use crate::b::B;",
        "#[cfg(any(test, feature = \"x\"))] use crate::b::B;",
        "#[cfg(test)] mod tests {} use crate::b::B;",
        "struct S { #[cfg(test)] c: Vec<u8>, b: crate::b::B }",
        "impl A { #[cfg(test)] fn f<X, Y>(self) {} fn g() { crate::b::B; } }",
        "#[cfg(test)] const C: X = X { x: 1 }; use crate::b::B;",
    ] {
        let a = format!("pub struct A; {shipped}");
        check(&[A_AND_B, ("a.rs", &a), b], &[expected]);
    }
}

#[test]
fn similar_paths_and_text_add_no_dependency() {
    let b = ("b.rs", "pub struct B(crate::a::A);");
    for a in [
        "use ::b::B; pub struct A(B);",
        "use std::fmt::{self, b::B}; pub struct A; fn f() { fmt::b::B; }",
        "/// Not [`crate::b::B`]. \npub struct A; // crate::b::B",
        "pub struct A; fn f() { let b = x(); b.b.c(); <A as std::b::B>::b::<u8>(); }",
        "pub struct A; const TEXT: &'static str = \"crate::b::B\";",
        "pub(in crate::b) struct A;",
    ] {
        check(&[A_AND_B, ("a.rs", a), b], &[]);
    }
}

#[test]
fn modules_resolve_to_the_same_files_as_in_rust() {
    let lib = (
        "lib.rs",
        "mod a { pub mod inner; pub struct A; } mod b; #[path = \"elsewhere/c.rs\"] mod c;",
    );
    let inner = ("a/inner.rs", "pub struct Inner(crate::c::C);");
    let c = ("elsewhere/c.rs", "pub struct C(crate::a::inner::Inner, crate::a::A);");
    let expected = "2 files use each other in a circle\n  a/inner.rs -> elsewhere/c.rs: C\n  elsewhere/c.rs -> a/inner.rs: Inner";
    check(&[lib, inner, c, ("b/mod.rs", "pub struct B;")], &[expected]);
    let read_file = |path: &Path| path.ends_with("lib.rs").then(|| "mod lost;".to_owned());
    assert!(ModuleTree::read(Path::new("src/lib.rs"), &read_file).is_err());
}
