//! Who may use the paths of operators: by the role of the token's account, before anything else of a request is looked at.

use std::future::{Ready, ready};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};

use super::shopper::identify;
use crate::{
    auth::Directory,
    http::{ApiError, Client, ErrorCode},
    port::{ActionEntry, Actor, IdempotencyKey, Role},
    security::{self, Event},
};

/// What a path lets do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Look at what operators see.
    Read,
    /// Change products, sales and orders, and decide about dead letters.
    Change,
    /// Change accounts and their roles.
    Accounts,
}

impl Right {
    /// Whether accounts with this role have it.
    #[must_use]
    pub fn is_of(self, role: Role) -> bool {
        match role {
            Role::Admin => true,
            Role::Operator => matches!(self, Self::Read | Self::Change),
            Role::Support | Role::Auditor => self == Self::Read,
            Role::Service | Role::User => false,
        }
    }
}

/// Who makes the request, once [`check`] has let it through.
#[derive(Debug, Clone)]
pub struct Operator(pub Actor);

impl Operator {
    /// What is kept of a change that this request makes.
    #[must_use]
    pub fn entry(&self, reason: String, key: Option<IdempotencyKey>) -> ActionEntry {
        ActionEntry {
            actor: self.0.clone(),
            reason,
            key,
        }
    }
}

impl FromRequest for Operator {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let checked = request.extensions().get::<Self>().cloned();
        ready(checked.ok_or(ErrorCode::Internal.into()))
    }
}

/// The middleware of every path of operators: 401 without a good token, 403 without the right, and a line in the security log.
pub async fn check<B: MessageBody + 'static>(
    right: Right,
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match operator(right, &mut request).await {
        Ok(operator) => {
            request.extensions_mut().insert(operator);
            Ok(next.call(request).await?.map_into_boxed_body())
        }
        Err(refusal) => Ok(request.error_response(refusal)),
    }
}

async fn operator(right: Right, request: &mut ServiceRequest) -> Result<Operator, ApiError> {
    let identity = identify(request.request())?;
    let directory = request
        .app_data::<Data<Directory>>()
        .ok_or(ErrorCode::Internal)?;
    if !directory.is_known(&identity) {
        directory.clone().admit(&identity).await?;
    }
    let client = request.extract::<Client>().await?;
    let name = format!("user:{}", identity.user);
    if !right.is_of(identity.role) {
        let about = format!("{} {}", request.method(), request.path());
        security::note(
            Event::AdminAccess,
            "forbidden",
            &name,
            Some(client.0),
            &about,
        );
        return Err(ErrorCode::Forbidden.into());
    }
    Ok(Operator(Actor {
        name,
        role: identity.role.to_sql().to_owned(),
        address: Some(client.0.address()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_their_rights_and_no_others() {
        let rights =
            |role| [Right::Read, Right::Change, Right::Accounts].map(|right| right.is_of(role));
        assert_eq!(rights(Role::Admin), [true, true, true]);
        assert_eq!(rights(Role::Operator), [true, true, false]);
        assert_eq!(rights(Role::Support), [true, false, false]);
        assert_eq!(rights(Role::Auditor), [true, false, false]);
        assert_eq!(rights(Role::Service), [false, false, false]);
        assert_eq!(rights(Role::User), [false, false, false]);
    }
}
