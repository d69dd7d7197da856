use std::sync::Arc;

use dialtone::domain::{
    ids::TenantId,
    web_tool::{SecretHeader, WebMethod, WebTool},
};

use super::{data::*, home::Home};

fn tool(name: &str) -> WebTool {
    WebTool {
        name: name.parse().unwrap(),
        description: "Where an order is.".to_owned(),
        method: WebMethod::Patch,
        url: "https://example.com/lookup?key=1".to_owned(),
        arguments: vec!["order".to_owned(), "$e.mail".to_owned()],
        time_limit: seconds(7),
        header: Some(SecretHeader {
            name: "Authorization".to_owned(),
            sealed: "v1.abc".to_owned(),
        }),
    }
}

pub async fn tools_are_saved_by_name_and_replaced(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    for name in ["b-tool", "a_tool"] {
        store.save_web_tool(tenant, &tool(name)).await.unwrap();
    }
    let plain = WebTool {
        method: WebMethod::Get,
        header: None,
        ..tool("b-tool")
    };
    store.save_web_tool(tenant, &plain).await.unwrap();
    let listed = store.list_web_tools(tenant).await.unwrap();
    assert_eq!(listed, [tool("a_tool"), plain.clone()]);
    let found = store.find_web_tool(tenant, &plain.name).await.unwrap();
    assert_eq!(found, Some(plain.clone()));
    assert!(store.delete_web_tool(tenant, &plain.name).await.unwrap());
    assert!(!store.delete_web_tool(tenant, &plain.name).await.unwrap());
    let gone = store.find_web_tool(tenant, &plain.name).await.unwrap();
    assert_eq!(gone, None);
}

// proves F-86
pub async fn tools_of_one_tenant_are_not_anothers(home: Arc<Home>) {
    let store = home.open().await;
    let (ours, theirs) = (fresh(TenantId::new), fresh(TenantId::new));
    let lookup = tool("lookup");
    store.save_web_tool(ours, &lookup).await.unwrap();
    assert_eq!(store.list_web_tools(theirs).await.unwrap(), []);
    let found = store.find_web_tool(theirs, &lookup.name).await.unwrap();
    assert_eq!(found, None);
    assert!(!store.delete_web_tool(theirs, &lookup.name).await.unwrap());
    let changed = WebTool {
        header: None,
        ..lookup.clone()
    };
    store.save_web_tool(theirs, &changed).await.unwrap();
    let found = store.find_web_tool(ours, &lookup.name).await.unwrap();
    assert_eq!(found, Some(lookup));
}

pub async fn a_tool_that_is_saved_twice_at_once_is_there_once(home: Arc<Home>) {
    let store = home.open().await;
    let tenant = fresh(TenantId::new);
    let saves = (0..8).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { store.save_web_tool(tenant, &tool("lookup")).await })
    });
    for saved in saves.collect::<Vec<_>>() {
        saved.await.unwrap().unwrap();
    }
    assert_eq!(store.list_web_tools(tenant).await.unwrap().len(), 1);
}
