//! The worker's side door: every request carries a host's token and the protocol's version.

mod claim;
mod host_token;
mod lease;
mod results;
mod sources;

use actix_web::web::{self, ServiceConfig};

pub use host_token::{HostToken, Spoken};

/// Largest artefact: a profile-guided build with its debug symbols stripped is about a tenth of this.
const LARGEST_ARTEFACT: usize = 512 << 20;
/// Largest run report, compressed.
const LARGEST_REPORT: usize = 64 << 20;
/// Largest single piece of log.
const LARGEST_LOG_CHUNK: usize = 4 << 20;

/// Largest source, and a little more, so that its own handler says what is wrong.
const LARGEST_SOURCE_BODY: usize = 2 << 20;

/// The routes of `speedwell_wire::paths`.
pub fn configure(config: &mut ServiceConfig) {
    config.service(
        web::scope("/api/worker/v1")
            .app_data(
                web::JsonConfig::default()
                    .limit(8 << 20)
                    .error_handler(|error, _| {
                        crate::web::error::Error::BadRequest {
                            field: "body".to_owned(),
                            message: error.to_string(),
                        }
                        .into()
                    }),
            )
            .route("/register", web::post().to(claim::register))
            .route("/claim", web::post().to(claim::claim))
            .route("/jobs/{job}/heartbeat", web::post().to(lease::heartbeat))
            .route("/jobs/{job}/failure", web::post().to(lease::failure))
            .route("/jobs/{job}/release", web::post().to(lease::release))
            .route("/jobs/{job}/build", web::post().to(results::build))
            .service(
                web::resource("/jobs/{job}/log")
                    .app_data(web::PayloadConfig::new(LARGEST_LOG_CHUNK))
                    .route(web::post().to(lease::log)),
            )
            .service(
                web::resource("/jobs/{job}/run")
                    .app_data(web::PayloadConfig::new(LARGEST_REPORT))
                    .route(web::post().to(results::run)),
            )
            .service(
                web::resource("/sources/{sha256}")
                    .app_data(web::PayloadConfig::new(LARGEST_SOURCE_BODY))
                    .route(web::put().to(sources::put)),
            )
            .service(
                web::resource("/artefacts/{sha256}")
                    .app_data(web::PayloadConfig::new(LARGEST_ARTEFACT))
                    .route(web::get().to(results::get_artefact))
                    .route(web::put().to(results::put_artefact)),
            ),
    );
}
