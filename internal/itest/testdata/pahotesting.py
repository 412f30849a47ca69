# pahotesting.py MODULE HOST PORT WITHOUT...: runs a module of the Paho
# interoperability tests, whose folder is the current one, against a broker, without
# the tests named.
import importlib, sys, time, unittest

name, host, port, *without = sys.argv[1:]
sys.path.insert(0, ".")
sys.argv = [name]
module = importlib.import_module(name)
module.host, module.port = host, int(port)
# What the module sets when it is run as a program.
module.topics = ("TopicA", "TopicA/B", "Topic/C", "TopicA/C", "/TopicA")
module.wildtopics = ("TopicA/+", "+/C", "#", "/#", "/+", "+/+", "TopicA/#")
module.nosubscribe_topics = ("test/nosubscribe",)
module.topic_prefix = name + "/"
# Some tests do not wait for the SUBACK of one client before another publishes.
client = module.mqtt_client.Client
subscribe = client.subscribe


def subscribe_and_wait(self, *args, **kwargs):
    result = subscribe(self, *args, **kwargs)
    time.sleep(0.5)
    return result


client.subscribe = subscribe_and_wait
suite = unittest.TestSuite(
    test
    for group in unittest.defaultTestLoader.loadTestsFromModule(module)
    for test in group
    if test.id().rsplit(".", 1)[1] not in without
)
sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
