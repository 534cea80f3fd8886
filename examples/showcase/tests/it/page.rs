use crate::support::Showcase;

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let showcase = Showcase::start();
    let get = |path: &str| showcase.program.send("GET", path, &[]).expect(200);
    let page = get("/");
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    for (path, content_type) in [("/showcase.css", "text/css"), ("/showcase.js", "text/javascript")] {
        assert!(page.text().contains(path));
        let file = get(path);
        assert!(file.header("content-type").unwrap().starts_with(content_type));
        for text in [page.text(), file.text()] {
            assert!(!text.contains("http://") && !text.contains("https://"), "{path} names another server");
        }
    }
    assert!(!page.text().contains("onclick") && !page.text().contains("<style"), "the policy forbids it");
}

#[test]
fn the_state_of_the_service_is_told_to_anybody() {
    let showcase = Showcase::start();
    for prefix in ["", "/api/v1"] {
        let get =
            |path: &str| showcase.program.send("GET", &format!("{prefix}{path}"), &[]).expect(200).json();
        assert_eq!(get("/healthz")["status"], "ok");
        let release = get("/version")["release"].as_str().unwrap().to_owned();
        assert!(release != "__UNKNOWN__" && !release.is_empty());
    }
}

#[test]
fn unknown_paths_and_methods_have_the_one_shape() {
    let showcase = Showcase::start();
    let send = |method: &str, path: &str| showcase.program.send(method, path, &[]);
    assert_eq!(send("GET", "/nowhere").expect(404).json()["_errors"][0], "Not Found");
    let wrong = send("PATCH", "/api/v1/items").expect(405);
    assert!(wrong.json()["_errors"][0].is_string());
    assert!(wrong.header("allow").unwrap().contains("GET"), "{wrong}");
}
