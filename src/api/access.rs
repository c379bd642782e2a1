//! Who may use the paths of operators and of the shop's programs: by the role and the scopes of the token, before anything else of a
//! request is looked at.

use std::future::{Ready, ready};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::{BoxBody, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
    web::Data,
};

use super::shopper::identify;
use crate::{
    auth::{Directory, Identity},
    http::{ApiError, Client, ErrorCode},
    port::{ActionEntry, Actor, IdempotencyKey, Role, Scope, Scopes},
    security::{self, Event},
};

/// The right that a path requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Look at what operators see.
    Read,
    /// Change products, sales and orders, and decide about dead letters.
    Change,
    /// Change accounts and their roles.
    Accounts,
    /// What a service account does with this scope. No other role has it.
    Scope(Scope),
}

impl Right {
    /// Whether tokens with this role and these scopes have it.
    #[must_use]
    pub fn is_of(self, role: Role, scopes: Scopes) -> bool {
        if let Self::Scope(scope) = self {
            return role == Role::Service && scopes.contains(scope);
        }
        match role {
            Role::Admin => true,
            Role::Operator => matches!(self, Self::Read | Self::Change),
            Role::Support | Role::Auditor => self == Self::Read,
            Role::Service | Role::User => false,
        }
    }

    /// What the security log calls a refusal.
    fn event(self) -> Event {
        match self {
            Self::Read | Self::Change | Self::Accounts => Event::AdminAccess,
            Self::Scope(_) => Event::ServiceAccess,
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

/// The middleware of every path of operators and of programs: 401 without a good token, 403 without the right, and a line in the
/// security log for either.
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
    let client = request.extract::<Client>().await?;
    let note = |outcome: &str, name: &str| {
        let about = format!("{} {}", request.method(), request.path());
        security::note(right.event(), outcome, name, Some(client.0), &about);
    };
    let refuse = |refusal: ApiError, name: &str| {
        let code = refusal.code();
        if code.status() == StatusCode::UNAUTHORIZED {
            note(code.code(), name);
        }
        refusal
    };
    let identity = identify(request.request()).map_err(|refusal| refuse(refusal, "unknown"))?;
    let name = format!("user:{}", identity.user);
    admit(&identity, request)
        .await
        .map_err(|refusal| refuse(refusal, &name))?;
    if !right.is_of(identity.role, identity.scopes) {
        note("forbidden", &name);
        return Err(match right {
            Right::Scope(scope) if identity.role == Role::Service => ApiError::saying(
                ErrorCode::Forbidden,
                format!("This token does not have the scope {}.", scope.name()),
            ),
            _ => ErrorCode::Forbidden.into(),
        });
    }
    Ok(Operator(Actor {
        name,
        role: identity.role.to_sql().to_owned(),
        address: Some(client.0.address()),
    }))
}

/// Refuses a token whose account does not exist, and one that was ended.
async fn admit(identity: &Identity, request: &ServiceRequest) -> Result<(), ApiError> {
    let directory = request
        .app_data::<Data<Directory>>()
        .ok_or(ErrorCode::Internal)?;
    if !directory.is_known(identity) {
        directory.clone().admit(identity).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_have_their_rights_and_no_others() {
        let all = Scope::ALL.into_iter().collect();
        let rights = |role| {
            [Right::Read, Right::Change, Right::Accounts].map(|right| right.is_of(role, all))
        };
        assert_eq!(rights(Role::Admin), [true, true, true]);
        assert_eq!(rights(Role::Operator), [true, true, false]);
        assert_eq!(rights(Role::Support), [true, false, false]);
        assert_eq!(rights(Role::Auditor), [true, false, false]);
        assert_eq!(rights(Role::Service), [false, false, false]);
        assert_eq!(rights(Role::User), [false, false, false]);
    }

    #[test]
    fn a_scope_is_of_service_accounts_that_have_it_and_of_nobody_else() {
        for scope in Scope::ALL {
            let (right, has) = (Right::Scope(scope), [scope].into_iter().collect());
            for role in Role::ALL {
                assert_eq!(right.is_of(role, has), role == Role::Service, "{role:?}");
            }
            let others = Scope::ALL.into_iter().filter(|other| *other != scope);
            assert!(!right.is_of(Role::Service, others.collect()));
        }
    }
}
