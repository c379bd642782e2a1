"""A purchase by the generated Python client, against a running server: python3 buy.py BASE."""

import sys
import time

import flashsale_client as api
from flashsale_client.rest import ApiException

base = sys.argv[1]
name = f"python{time.time_ns()}"

configuration = api.Configuration(host=base)
with api.ApiClient(configuration) as client:
    accounts = api.AccountsApi(client)
    accounts.register(api.RegistrationForm(username=name, email=f"{name}@example.com", password="a word of Python"))
    try:
        accounts.login(api.LoginForm(username=name, password="another word"))
        raise SystemExit("a wrong password logs in")
    except ApiException as refused:
        assert refused.status == 401, refused
        assert refused.data.code == "invalid_credentials", refused.data
    session = accounts.login(api.LoginForm(username=name, password="a word of Python"))
    configuration.access_token = session.data.token

    sale = api.FlashSaleApi(client).sale_status().data
    assert sale.start_time < sale.current_time < sale.end_time, "times are read as times"
    attempt = api.FlashSaleApi(client).attempt_purchase(sale.id)
    assert attempt.success and attempt.message, attempt

    orders = api.OrdersApi(client)
    deadline = time.monotonic() + 30
    while True:
        try:
            result = orders.order_status(sale.product_id).data
            break
        except ApiException as not_yet:
            assert not_yet.status == 400 and not_yet.data.code == "result_not_found", not_yet
            assert time.monotonic() < deadline, "the attempt was not settled within 30 s"
            time.sleep(0.05)
    assert result.status == "SUCCESS" and result.user_id == session.data.user_id, result
print(f"Python: {name} has bought product {result.product_id}")
