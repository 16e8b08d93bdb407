import time, pytest, statistics
from django.urls import reverse
from tests.jobs import tasks
from tests.staff import serve
from .test_api import runs
pytestmark = pytest.mark.django_db(transaction=True)

def test_measure(person, redis):
    serve(busy=1); runs(60)
    for n in range(30): tasks.add.enqueue(n, 2)
    client = person("view")
    for name, words in (("queues", {}), ("jobs", {}), ("jobs", {"q": "outcome:failed"})):
        a = reverse(f"monitor:api-{name}")
        for _ in range(10): assert client.get(a, words).status_code == 200
        each = []
        for _ in range(200):
            s = time.process_time(); client.get(a, words); each.append(time.process_time() - s)
        print(f"\nMEASURE {name} {words} mean {statistics.mean(each)*1000:.2f} median {statistics.median(each)*1000:.2f} ms")
