//! The shape of the source code: names that are given once, and files that do not import one another in a circle.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

use regex_lite::Regex;

/// A module's path within the crate: `["capture", "points"]`.
type Module = Vec<String>;

/// The source of every module of the library, up to its tests.
fn modules() -> BTreeMap<Module, String> {
    fn add(folder: &Path, path: &[String], modules: &mut BTreeMap<Module, String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let mut module = path.to_vec();
            if entry.file_type().unwrap().is_dir() {
                module.push(name);
                add(&entry.path(), &module, modules);
            } else if let Some(stem) = name.strip_suffix(".rs").filter(|&stem| stem != "main") {
                module.extend((!matches!(stem, "mod" | "lib")).then(|| stem.to_owned()));
                let text = std::fs::read_to_string(entry.path()).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                modules.insert(module, code.to_owned());
            }
        }
    }
    let mut modules = BTreeMap::new();
    add(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut modules);
    assert!(modules.len() > 100);
    modules
}

#[test]
fn every_type_has_a_name_of_its_own() {
    /// One of two files is compiled, by platform and feature.
    const EITHER: [&str; 2] = ["SegmentEvents", "SegmentEventsError"];
    // At the beginning of a line: neither associated types nor what one function has for itself.
    let definition = Regex::new(r"(?m)^(?:pub(?:\([a-z: ]+\))? )?(?:struct|enum|trait|type) (\w+)").unwrap();
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (module, code) in modules() {
        for found in definition.captures_iter(&code) {
            places.entry(found[1].to_owned()).or_default().push(module.join("::"));
        }
    }
    assert!(places.len() > 500);
    places.retain(|name, places| places.len() > 1 && !EITHER.contains(&name.as_str()));
    assert_eq!(places, BTreeMap::new(), "each tells what it is by its name alone");
}

/// The paths that a `use` declaration names, without its groups: `a::{b, c::d}` are two.
fn paths(tree: &str) -> Vec<String> {
    let Some((before, group)) = tree.strip_suffix('}').and_then(|tree| tree.split_once('{')) else {
        return vec![tree.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let mut depth = 0;
    let items = group.split(|c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    });
    let whole = |item: &str| format!("{}{}", before.trim(), item.trim());
    items.filter(|item| !item.trim().is_empty()).flat_map(|item| paths(&whole(item))).collect()
}

/// The absolute path that `path` means in a module; `None` for other crates.
fn absolute(path: &str, module: &Module, modules: &BTreeMap<Module, String>) -> Option<Module> {
    let mut parts: Vec<String> = path.split("::").map(|part| part.trim().to_owned()).collect();
    let mut base = module.clone();
    match parts.first()?.as_str() {
        "crate" => base.clear(),
        "self" => {}
        "super" => {
            while parts.get(1).is_some_and(|part| part == "super") {
                parts.remove(0);
                base.pop();
            }
            base.pop();
        }
        first => {
            base.push(first.to_owned());
            return modules.contains_key(&base).then(|| [base, parts.split_off(1)].concat());
        }
    }
    Some([base, parts.split_off(1)].concat())
}

/// The modules whose definitions each module imports, through re-exports.
fn imports(modules: &BTreeMap<Module, String>) -> HashMap<Module, HashSet<Module>> {
    let declaration = Regex::new(r"(?m)^(pub(?:\([a-z: ]+\))? )?use ([^;]+);").unwrap();
    let mut exported: HashMap<Module, Module> = HashMap::new();
    let mut used: Vec<(Module, Module)> = Vec::new();
    for (module, code) in modules {
        for found in declaration.captures_iter(code) {
            for path in paths(&found[2]).iter().filter_map(|path| absolute(path, module, modules)) {
                match found.get(1) {
                    Some(_) => {
                        _ = exported.insert([module.clone(), path[path.len() - 1..].to_vec()].concat(), path)
                    }
                    None => used.push((module.clone(), path)),
                }
            }
        }
    }
    let owner = |path: &Module| {
        let mut path = path.clone();
        let mut followed = HashSet::new();
        loop {
            let length =
                (0..=path.len()).rev().find(|&length| modules.contains_key(&path[..length])).unwrap_or(0);
            let name = path[..path.len().min(length + 1)].to_vec();
            match exported.get(&name).filter(|_| length < path.len() && followed.insert(name.clone())) {
                Some(target) => path = [target.clone(), path[length + 1..].to_vec()].concat(),
                None => return path[..length].to_vec(),
            }
        }
    };
    let mut imports: HashMap<Module, HashSet<Module>> = HashMap::new();
    for (module, path) in &used {
        let target = owner(path);
        if target != *module && !target.is_empty() {
            imports.entry(module.clone()).or_default().insert(target);
        }
    }
    imports
}

#[test]
fn no_files_import_one_another_in_a_circle() {
    let modules = modules();
    let imports = imports(&modules);
    assert!(imports.values().map(HashSet::len).sum::<usize>() > 500);
    // Modules that import nothing of what is left are taken away, again and again: circles stay, and all that leads to them.
    let mut left: BTreeSet<&Module> = modules.keys().collect();
    loop {
        let leads_on = |module: &&&Module| {
            imports.get(**module).is_some_and(|targets| targets.iter().any(|target| left.contains(target)))
        };
        let next: BTreeSet<&Module> = left.iter().filter(leads_on).copied().collect();
        if next.len() == left.len() {
            break;
        }
        left = next;
    }
    assert_eq!(left, BTreeSet::new(), "files on a circle, and those that import them");
}
