//! `/api/auth`: registering, logging in and out, and setting another password.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::shopper::SignedIn;
use crate::{
    auth::{Account, Auth, LoginForm, LoginSession, PasswordForm, RegistrationForm, ResetForm},
    http::{ApiError, Client, Fields, Success},
};

/// A new account.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccountBody {
    #[schema(example = "5")]
    user_id: String,
    #[schema(example = "newuser")]
    username: String,
    #[schema(example = "newuser@example.com")]
    email: String,
    #[schema(example = "New User")]
    full_name: Option<String>,
}

/// A token, to be sent as `Authorization: Bearer <token>`.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SessionBody {
    #[schema(example = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9...")]
    token: String,
    #[schema(example = "1")]
    user_id: String,
}

impl From<Account> for AccountBody {
    fn from(account: Account) -> Self {
        let Account {
            user,
            username,
            email,
            full_name,
        } = account;
        Self {
            user_id: user.to_string(),
            username,
            email,
            full_name,
        }
    }
}

impl From<LoginSession> for SessionBody {
    fn from(session: LoginSession) -> Self {
        Self {
            token: session.token,
            user_id: session.user.to_string(),
        }
    }
}

/// Register a new account.
///
/// The username and the e-mail address must be free, whatever the case of their letters.
#[utoipa::path(
    post, path = "/api/auth/register", operation_id = "register", security(()), tag = "Accounts",
    request_body(content((RegistrationForm = "application/json"), (RegistrationForm = "application/x-www-form-urlencoded"))),
    responses((status = 201, description = "The account was made.", body = Success<AccountBody>))
)]
pub async fn register(
    client: Client,
    form: Fields<RegistrationForm>,
    auth: Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let account = auth.register(form.0, client.0).await?;
    Ok(HttpResponse::Created().json(Success::new(AccountBody::from(account))))
}

/// Log in and receive a token.
///
/// The answer to a wrong password is the same as to an unknown username.
#[utoipa::path(
    post, path = "/api/auth/login", operation_id = "login", security(()), tag = "Accounts",
    request_body(content((LoginForm = "application/json"), (LoginForm = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "A token for the other requests.", body = Success<SessionBody>))
)]
pub async fn login(
    client: Client,
    form: Fields<LoginForm>,
    auth: Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let session = auth.login(form.0, client.0).await?;
    Ok(HttpResponse::Ok().json(Success::new(SessionBody::from(session))))
}

/// End all sessions of the account.
///
/// Every token that the account has been given until now is refused, on this server at once and on all others within 5 seconds.
/// There is no way to end one session alone.
#[utoipa::path(
    post, path = "/api/auth/logout", operation_id = "logout", tag = "Accounts", security(("bearer" = [])),
    responses((status = 204, description = "All tokens of the account were ended."))
)]
pub async fn logout(
    token: SignedIn,
    client: Client,
    auth: Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    auth.log_out(&token.0, client.0).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Change the password, and receive a new token.
///
/// Asks for the current password. Ends all sessions of the account, as logging out does; the token in the answer is good.
#[utoipa::path(
    post, path = "/api/auth/password", operation_id = "changePassword", tag = "Accounts", security(("bearer" = [])),
    request_body(content((PasswordForm = "application/json"), (PasswordForm = "application/x-www-form-urlencoded"))),
    responses((status = 200, description = "A token for the other requests.", body = Success<SessionBody>))
)]
pub async fn change_password(
    token: SignedIn,
    client: Client,
    form: Fields<PasswordForm>,
    auth: Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    let session = auth.change_password(&token.0, form.0, client.0).await?;
    Ok(HttpResponse::Ok().json(Success::new(SessionBody::from(session))))
}

/// Set another password with a one-time token.
///
/// The operator of the server hands out the token: it is good for one hour, and once. Ends all sessions of the account.
#[utoipa::path(
    post, path = "/api/auth/reset", operation_id = "resetPassword", security(()), tag = "Accounts",
    request_body(content((ResetForm = "application/json"), (ResetForm = "application/x-www-form-urlencoded"))),
    responses((status = 204, description = "The password was set; log in with it."))
)]
pub async fn reset_password(
    client: Client,
    form: Fields<ResetForm>,
    auth: Data<Auth>,
) -> Result<HttpResponse, ApiError> {
    auth.reset_password(form.0, client.0).await?;
    Ok(HttpResponse::NoContent().finish())
}
