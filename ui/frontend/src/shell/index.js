export { default } from './Shell.vue';
