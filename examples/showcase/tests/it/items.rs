use serde_json::{Value, json};

use crate::support::Showcase;

#[test]
fn fifty_seven_items_are_created_and_paged_through() {
    let showcase = Showcase::start();
    let demo = showcase.log_in("demo");
    let seeded = demo.send("GET", "/items").expect(200).json()["totalItems"].as_i64().unwrap();
    for number in 1..=57 {
        let item = json!({"name": format!("Item {number}"), "quantity": number});
        let created = demo.send_json("POST", "/items", &item).expect(201);
        let location = created.header("location").unwrap().strip_prefix("/api/v1").unwrap().to_owned();
        assert_eq!(demo.send("GET", &location).expect(200).json(), created.json());
    }

    let (mut names, mut offset) = (Vec::new(), seeded);
    loop {
        let page = demo.send("GET", &format!("/items?offset={offset}&limit=10")).expect(200).json();
        assert_eq!(page["totalItems"], seeded + 57);
        assert_eq!((&page["offset"], &page["limit"]), (&json!(offset), &json!(10)));
        let items = page["items"].as_array().unwrap();
        if items.is_empty() {
            break;
        }
        names.extend(items.iter().map(|item| item["name"].as_str().unwrap().to_owned()));
        offset += 10;
    }
    assert_eq!(names, (1..=57).map(|number| format!("Item {number}")).collect::<Vec<_>>());
}

#[test]
fn an_item_lives_and_is_gone() {
    let showcase = Showcase::start();
    let demo = showcase.log_in("demo");
    let created = demo.send_json("POST", "/items", &json!({"name": "Fork", "quantity": 1, "note": "bent"}));
    let id = created.expect(201).json()["id"].as_i64().unwrap();
    let path = format!("/items/{id}");

    let update = json!({"name": "Spoon", "quantity": 2});
    let expected = json!({"id": id, "name": "Spoon", "quantity": 2, "note": null});
    assert_eq!(demo.send_json("PUT", &path, &update).expect(200).json(), expected);
    assert_eq!(demo.send("GET", &path).expect(200).json(), expected);

    demo.send("DELETE", &path).expect(204);
    for gone in [demo.send("GET", &path), demo.send("DELETE", &path), demo.send_json("PUT", &path, &update)] {
        assert_eq!(gone.expect(404).json(), json!({"_errors": ["Not Found"]}));
    }
}

#[test]
fn every_fault_is_named_at_once() {
    let showcase = Showcase::start();
    let demo = showcase.log_in("demo");
    let faults = demo.send_json("POST", "/items", &json!({"name": "", "quantity": "many", "colour": 1}));
    let faults = faults.expect(422).json();
    let fields: Vec<&String> = faults.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["colour", "name", "quantity"]);

    let faults: Value = demo.send("GET", "/items?offset=-1&limit=1000").expect(422).json();
    assert_eq!(faults.as_object().unwrap().len(), 2, "{faults}");
}

#[test]
fn who_may_only_read_may_only_read() {
    let showcase = Showcase::start();
    let reader = showcase.log_in("reader");
    reader.send("GET", "/items/1").expect(200);
    let item = json!({"name": "Fork", "quantity": 1});
    for refused in [
        reader.send_json("POST", "/items", &item),
        reader.send_json("PUT", "/items/1", &item),
        reader.send("DELETE", "/items/1"),
        reader.send_json("POST", "/jobs", &json!({})),
    ] {
        let refused = refused.expect(403);
        assert!(refused.header("www-authenticate").unwrap().contains("insufficient_scope"), "{refused}");
    }
    let stranger = showcase.program.send("GET", "/api/v1/items", &[]).expect(401);
    assert_eq!(stranger.header("www-authenticate"), Some("Bearer realm=\"api\""));
}
