# Golden values of tests/omics/test_outcome_performance.py, with Debian's r-cran-survival and r-cran-riskregression:
#   cd tests/omics/golden && Rscript performance.R ../../../../shared/data/aml_outcomes/clinical.tsv
# writes performance.tsv. `synthetic` is outcome_patients.csv beside this file; `aml` is real, only numbers are written.
suppressMessages(library(riskRegression))
library(survival)
library(prodlim)

rows <- list()
put <- function(table, quantity, value, time = NA) {
  rows[[length(rows) + 1]] <<- data.frame(table, quantity, time, value = sprintf("%.15g", value))
}

golden <- function(table, d, horizon, times) {
  d$line <- round(1000 * d$line) / 1000  # two risks are the same in R and elsewhere, or clearly not
  # cause-specific accuracy with competing risks, weights from the marginal Kaplan-Meier of censoring
  risks <- sapply(times, function(t) plogis(d$line + log(t / horizon)))
  s <- Score(list(model = risks), Hist(time, event) ~ 1, d, times = times, cause = 1, metrics = c("auc", "brier"),
             summary = c("ipa", "ibs"), cens.model = "km", null.model = TRUE, se.fit = FALSE)
  a <- s$AUC$score[s$AUC$score$model == "model", ]
  b <- s$Brier$score[s$Brier$score$model == "model", ]
  put(table, "auc", a$AUC, a$times)
  put(table, "brier", b$Brier, b$times)
  put(table, "ipa", b$IPA, b$times)
  # without competing risks: any event
  d$risk <- plogis(d$line)
  h <- concordance(Surv(time, event > 0) ~ risk, d, reverse = TRUE, ymax = horizon)
  u <- concordance(Surv(time, event > 0) ~ risk, d, reverse = TRUE, ymax = horizon, timewt = "n/G2")
  put(table, "c_harrell", h$concordance, horizon)
  put(table, "c_uno", u$concordance, horizon)
  # competing events never have the event of interest: followed for ever
  d$never <- ifelse(d$event > 1, Inf, d$time)
  last <- max(d$time) + 1
  e <- transform(d, time = ifelse(event > 1, last, time), event = as.integer(event == 1))
  put(table, "c_harrell_competing",
      concordance(Surv(time, event) ~ risk, e, reverse = TRUE, ymax = horizon)$concordance, horizon)
  # calibration: weights by redistribution to the right are 1 / G(min(T, horizon)-)
  w <- rttright(Surv(time, factor(event)) ~ 1, d, times = horizon) * nrow(d)
  y <- as.integer(d$event == 1 & d$time <= horizon)
  line <- qlogis(d$risk)
  suppressWarnings({
    slope <- glm(y ~ line, binomial, weights = w, control = glm.control(epsilon = 1e-14, maxit = 100))
    free <- glm(y ~ 1 + offset(line), binomial, weights = w, control = glm.control(epsilon = 1e-14, maxit = 100))
  })
  put(table, "calibration_slope", coef(slope)[["line"]], horizon)
  put(table, "calibration_intercept", coef(free)[[1]], horizon)
  incidence <- predict(prodlim(Hist(time, event) ~ 1, d), times = horizon, cause = 1)
  put(table, "observed_expected", unlist(incidence)[[1]] / mean(d$risk), horizon)
}

p <- read.csv("outcome_patients.csv")
p$line <- -1 + 0.8 * sin(seq_len(nrow(p))) + ifelse(p$group == sort(unique(p$group))[1], 0.5, 0)
# not at times that occur: of who is censored just then, riskRegression says unknown, we say followed up to it
golden("synthetic", p, 3, c(1.1, 2.1, 3.1))

a <- read.delim(commandArgs(TRUE)[1], na.strings = c("", "NA"))
relapsed <- !is.na(a$Recurrence_date)
aml <- data.frame(
  time = ifelse(relapsed, a$Recurrence_date, a$Date_LF),
  event = ifelse(relapsed, 1, ifelse(a$Status == 1, 2, 0)),
  line = -0.5 + 0.02 * (a$AOD - 50) + 0.3 * log10(a$wbc + 1)
)
golden("aml", aml[complete.cases(aml), ], 1096, c(365.5, 730.5, 1096.5))
write.table(do.call(rbind, rows), "performance.tsv", sep = "\t", quote = FALSE, row.names = FALSE)
