use std::sync::Arc;

use dialtone::domain::{
    audience::{Import, ImportStatus, RejectedRow},
    ids::{CampaignId, ImportId, TenantId},
};

use super::{data::*, home::Home};

pub async fn an_import_and_its_rejected_rows_read_back(home: Arc<Home>) {
    let store = home.open().await;
    let mut import = Import {
        id: fresh(ImportId::new),
        tenant: fresh(TenantId::new),
        campaign: fresh(CampaignId::new),
        file_name: "people.csv".to_owned(),
        status: ImportStatus::Running,
        n_rows: 0,
        n_accepted: 0,
        n_duplicates: 0,
        n_rejected: 0,
        created_at: NOW,
        ended_at: None,
    };
    store.save_import(&import).await.unwrap();
    import.status = ImportStatus::Failed {
        reason: "line 9 is not UTF-8".to_owned(),
    };
    import.n_rows = 8;
    import.ended_at = Some(NOW);
    store.save_import(&import).await.unwrap();
    let found = store.find_import(import.tenant, import.id).await.unwrap();
    assert_eq!(found, Some(import.clone()));

    let mut rows: Vec<_> = (2..9)
        .map(|line| RejectedRow {
            line,
            code: RejectedRow::DUPLICATE_IN_FILE.to_owned(),
            reason: "twice".to_owned(),
            column: None,
            cells: vec!["+1".to_owned(), String::new()],
        })
        .collect();
    let add = |rows: Vec<RejectedRow>| {
        let store = store.clone();
        async move { store.add_rejected(import.tenant, import.id, &rows).await }
    };
    add(vec![]).await.unwrap();
    add(rows.iter().rev().cloned().collect()).await.unwrap();
    rows[2].reason = "corrected".to_owned();
    add(rows[2..3].to_vec()).await.unwrap();
    let listed = all_pages(3, |page| {
        let store = store.clone();
        async move { store.list_rejected(import.tenant, import.id, &page).await }
    })
    .await;
    assert_eq!(listed, rows);
}
