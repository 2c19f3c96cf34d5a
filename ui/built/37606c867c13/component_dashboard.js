export { default } from "genba-ui/dashboard.js";
