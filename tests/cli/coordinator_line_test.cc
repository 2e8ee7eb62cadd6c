// How serve starts the coordinator, and what it reads back from it.
#include <gtest/gtest.h>

#include <fstream>

#include "cli/local_cluster.h"
#include "cli/preflight.h"

namespace drover {
namespace {

std::string Joined(const Command& command) {
  std::string line;
  for (const std::string& word : command.argv) line += (line.empty() ? "" : " ") + word;
  return line;
}

TEST(CoordinatorLine, HandsOnWhatWasAsked) {
  ServeOptions options;
  options.model = "m";
  EXPECT_EQ(Joined(CoordinatorLine("c", options, {}, "f")),
            "c --model m --http 127.0.0.1:8000 --grpc 127.0.0.1:8001 --cluster 127.0.0.1:8002 --ports-file f --log-level warning --drain-limit 4");
  options.name = "demo";
  options.max_model_len = 100;
  options.kv_tokens = 200;
  options.threads = 2;
  options.allow_logits = true;
  options.generation_config = "none";
  EXPECT_TRUE(Joined(CoordinatorLine("c", options, {}, "f"))
                  .ends_with("--model-name demo --max-model-len 100 --kv-tokens 200 --threads 2 --allow-logits --generation-config none"));
}

TEST(CoordinatorLine, ARestartKeepsThePortsItHad) {
  ServeOptions options;
  options.http = options.grpc = options.cluster = "127.0.0.1:0";
  const std::string line = Joined(CoordinatorLine("c", options, {"127.0.0.1:41", "127.0.0.1:42", "127.0.0.1:43"}, "f"));
  EXPECT_NE(line.find("--http 127.0.0.1:41 --grpc 127.0.0.1:42 --cluster 127.0.0.1:43"), std::string::npos) << line;
}

TEST(ReadPorts, JoinsHostsWithPortsAndNamesWhatIsMissing) {
  const auto folder = TempDir::Create();
  ASSERT_TRUE(folder.ok());
  const std::string path = folder->path() + "/ports.json";
  std::ofstream(path) << R"({"http": 1, "grpc": 2, "cluster": 3})";
  const auto addresses = ReadPorts(path, {.model = "", .name = "", .http = "0.0.0.0:0"});
  ASSERT_TRUE(addresses.ok());
  EXPECT_EQ(addresses->http, "0.0.0.0:1");
  EXPECT_EQ(addresses->cluster, "127.0.0.1:3");
  std::ofstream(path) << R"({"http": 1})";
  EXPECT_EQ(Message(ReadPorts(path, {}).status()), Cat(path, ": grpc is not there, expected a port"));
}

TEST(CheckAddress, RefusesWhatCannotBeListenedOn) {
  EXPECT_TRUE(CheckAddress("--http", "127.0.0.1:0").ok());
  EXPECT_EQ(Message(CheckAddress("--http", "8000")), "--http: found \"8000\", expected HOST:PORT");
  EXPECT_EQ(Message(CheckAddress("--http", "127.0.0.1:99999")), "--http: found port \"99999\", expected 0 to 65535");
}

}  // namespace
}  // namespace drover
