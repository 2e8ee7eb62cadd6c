// See signals.h.
#include "worker/signals.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

namespace drover {
namespace {

constexpr timespec kLook{.tv_sec = 0, .tv_nsec = 500'000'000};  // how often the thread asks whether it should end

sigset_t Watched() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGUSR1);  // what mpirun hands on without killing
  return set;
}

}  // namespace

void SignalThread::Block() {
  const sigset_t set = Watched();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

SignalThread::SignalThread(std::function<void(int)> on_signal)
    : on_signal_(std::move(on_signal)), thread_([this] { Wait(); }) {}

SignalThread::~SignalThread() {
  stop_ = true;
  thread_.join();
}

void SignalThread::Wait() {
  const sigset_t set = Watched();
  int count = 0;
  while (!stop_) {
    if (sigtimedwait(&set, nullptr, &kLook) > 0) on_signal_(++count);
  }
}

}  // namespace drover
